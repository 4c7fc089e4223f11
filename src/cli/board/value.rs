//! The machine as one JSON object; the fields stand in [`super`].

use serde_json::{Value, json};

use super::{Seen, tier};
use crate::board::{Detected, Gpu, Memory, Recognised};
use crate::cli::setting::told;

pub(super) fn of(seen: &Seen) -> Value {
    let Seen { root, found, sample, isa, .. } = seen;
    let profile = &found.profile;
    let by = match &found.recognised {
        Recognised::Module(_) => "module",
        Recognised::Processor(_) => "processor",
        Recognised::Named => "named",
    };
    let warning = |warning: &crate::board::Warning| -> Value {
        json!({ "kind": warning.kind(), "text": warning.to_string() })
    };
    json!({
        "command": "board",
        "slug": profile.slug, "name": profile.name, "tier": tier(profile.tier),
        "recognised": { "by": by, "text": found.recognised.to_string() },
        "module": found.module, "soc": found.soc, "model": found.model,
        "l4t": found.l4t, "kernel": found.kernel, "sysroot": told(root.path()),
        "warnings": found.warnings.iter().map(warning).collect::<Vec<_>>(),
        "cpu": { "cores": profile.cpu.cores, "model": profile.cpu.model.as_ref().or(sample.cpu.model.as_ref()),
            "online": sample.cpu.online, "governor": sample.cpu.governor,
            "clocks": sample.cpu.clocks, "isa": isa },
        "gpu": gpu(seen),
        "cuda": seen.cuda.as_ref().map(super::cuda::Cuda::value),
        "memory": memory(seen),
        "storage": { "internal": profile.storage.internal },
        "keys": { "rpmb": profile.keys.rpmb, "ftpm": profile.keys.ftpm,
            "evidence": profile.keys.evidence },
        "software": { "l4t": profile.software.l4t, "cuda": profile.software.cuda,
            "glibc": profile.software.glibc },
        "limits": { "memory_bytes": profile.limits.memory, "celsius": profile.limits.celsius },
        "power": power(seen),
        "thermal": { "hottest": sample.hottest(), "zones": sample.zones },
        "throttle": { "counters": sample.throttle, "cooling": sample.cooling },
    })
}

fn gpu(seen: &Seen) -> Value {
    let Seen { found: Detected { profile, .. }, sample, .. } = seen;
    if profile.gpu.is_none() && sample.gpu == crate::board::GpuNow::default() {
        return Value::Null;
    }
    let of = |of: fn(&Gpu) -> Value| profile.gpu.as_ref().map(of);
    json!({
        "architecture": of(|gpu| json!(gpu.architecture)),
        "compute_capability": seen.found.capability().map(|capability| capability.to_string()),
        "cores": of(|gpu| json!(gpu.cores)), "tensor_cores": of(|gpu| json!(gpu.tensor_cores)),
        "usable": of(|gpu| json!(gpu.usable)), "used": of(|gpu| json!(gpu.usable)),
        "load": sample.gpu.load, "hertz": sample.gpu.hertz,
    })
}

/// Bytes as built: of several sizes, the one that the machine's own count fits.
pub(super) fn built(memory: &Memory, total: Option<u64>) -> Option<u64> {
    match total {
        Some(total) => Some(memory.built(total)),
        None if memory.also.is_empty() => Some(memory.bytes),
        None => None,
    }
}

fn memory(seen: &Seen) -> Value {
    let Seen { found: Detected { profile, .. }, sample, .. } = seen;
    let now = &sample.memory;
    let memory = profile.memory.as_ref();
    json!({
        "built_bytes": memory.and_then(|memory| built(memory, now.total)),
        "bandwidth_gbs": memory.map(|memory| memory.bandwidth),
        "total_bytes": now.total, "available_bytes": now.available, "hertz": now.hertz,
    })
}

fn power(seen: &Seen) -> Value {
    let Seen { found: Detected { profile, .. }, sample, modes, .. } = seen;
    let total = sample.total.as_ref();
    json!({
        "mode": sample.mode, "modes": modes, "bench_mode": profile.power.bench_mode,
        "measured": total.is_some() || !sample.energy.is_empty(),
        "watts": total.map(|total| total.watts), "scope": total.map(|total| total.scope),
        "of": total.map_or(&[][..], |total| &total.of),
        "rails": sample.rails, "energy": sample.energy,
    })
}
