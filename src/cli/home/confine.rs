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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Output};
    use std::sync::mpsc::channel;

    use rustix::net::{AddressFamily, SocketType, socket, socketpair};

    use super::confine;

    const TASK: &str = "UNLEARN_TEST_CONFINED";

    fn asks_for(family: AddressFamily) {
        // What comes back does not matter: whoever is confined does not come back.
        let _ = socket(family, SocketType::STREAM, None);
    }

    fn child(task: &str) -> Output {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "cli::home::confine::tests::confined", "--ignored", "--nocapture"]);
        child.env(TASK, task).output().unwrap()
    }

    #[test]
    #[ignore = "run by the test below, which expects it to be killed"]
    fn confined() {
        let Ok(task) = std::env::var(TASK) else { return };
        if task == "free" {
            return asks_for(AddressFamily::INET);
        }
        let (go, wait) = channel::<()>();
        let early = std::thread::spawn(move || wait.recv().map(|()| asks_for(AddressFamily::INET)));
        confine().unwrap();
        confine().unwrap();
        socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        println!("confined");
        match &*task {
            "unix" => {}
            "inet" => asks_for(AddressFamily::INET),
            "inet6" => asks_for(AddressFamily::INET6),
            "netlink" => asks_for(AddressFamily::NETLINK),
            "pair" => {
                let flags = rustix::net::SocketFlags::empty();
                let _ = socketpair(AddressFamily::INET, SocketType::STREAM, flags, None);
            }
            "thread from before" => {
                go.send(()).unwrap();
                let _ = early.join();
            }
            "thread from after" => {
                let _ = std::thread::spawn(|| asks_for(AddressFamily::INET)).join();
            }
            "child" => {
                let signal = child("free").status.signal();
                assert_eq!(signal, Some(libc::SIGSYS), "what it starts is confined too");
            }
            other => panic!("no task `{other}`"),
        }
        println!("alive");
    }

    #[test]
    fn a_socket_other_than_a_unix_one_ends_the_process() {
        let said = |output: &Output, word| String::from_utf8_lossy(&output.stdout).contains(word);
        for task in ["unix", "child", "free"] {
            let output = child(task);
            assert!(output.status.success(), "{task}: {output:?}");
            assert_eq!(said(&output, "alive"), task != "free", "{task}");
        }
        let tasks = ["inet", "inet6", "netlink", "pair", "thread from before", "thread from after"];
        for task in tasks {
            let output = child(task);
            assert!(said(&output, "confined") && !said(&output, "alive"), "{task}: {output:?}");
            assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{task}: {output:?}");
        }
    }
}
