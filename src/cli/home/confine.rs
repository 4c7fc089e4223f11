//! What the process denies itself: the network, and dumps of its memory.

use super::super::fault::Fault;

/// Makes every socket but a Unix one end the process, for all threads and whatever it starts, and keeps
/// its memory out of core dumps.
///
/// # Errors
/// If the system refuses. A system other than Linux has no such filter, and goes without.
#[cfg(target_os = "linux")]
pub(super) fn confine() -> Result<(), Fault> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule, apply_filter_all_threads,
    };
    static DONE: std::sync::OnceLock<Result<(), String>> = std::sync::OnceLock::new();
    let denied = |error: &dyn std::fmt::Display| format!("the filter of system calls: {error}");
    let apply = || -> Result<(), String> {
        let other = |argument| {
            let unix = libc::AF_UNIX as u64;
            let kind = SeccompCmpArgLen::Dword;
            let condition = SeccompCondition::new(argument, kind, SeccompCmpOp::Ne, unix);
            let rule = condition.and_then(|condition| SeccompRule::new(vec![condition]));
            rule.map(|rule| vec![rule]).map_err(|error| denied(&error))
        };
        let rules = [
            (libc::SYS_socket, other(0)?),
            (libc::SYS_socketpair, other(0)?),
            // These reach the network, or other processes' memory, without a socket of their own.
            (libc::SYS_io_uring_setup, Vec::new()),
            (libc::SYS_ptrace, Vec::new()),
            (libc::SYS_process_vm_readv, Vec::new()),
            (libc::SYS_process_vm_writev, Vec::new()),
        ];
        let arch = std::env::consts::ARCH.try_into().map_err(|error| denied(&error))?;
        let filter = SeccompFilter::new(
            rules.into_iter().collect(),
            SeccompAction::Allow,
            SeccompAction::KillProcess,
            arch,
        );
        let program: BpfProgram =
            filter.and_then(|filter| filter.try_into()).map_err(|error| denied(&error))?;
        apply_filter_all_threads(&program).map_err(|error| denied(&error))?;
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| denied(&error))
    };
    DONE.get_or_init(apply).clone().map_err(Fault::Denied)
}

/// As on Linux, where there is nothing to do it with.
#[cfg(not(target_os = "linux"))]
pub(super) fn confine() -> Result<(), Fault> {
    Ok(())
}
