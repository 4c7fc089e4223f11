//! Clocks, loads and memory.

use super::sample::{CpuNow, GpuNow, MemoryNow};
use crate::board::sysroot::SysRoot;

const CPUS: &str = "sys/devices/system/cpu";
const DEVFREQ: &str = "sys/class/devfreq";
/// What device trees call the GPU, and the devfreq of Thor's.
const GPUS: [&str; 6] = ["gpu", "gm20b", "gp10b", "gv11b", "ga10b", "gb10b"];
/// More cores than any machine has that the program is for.
const MOST_CORES: u32 = 65_536;

/// Files of the GPU.
#[derive(Clone, Debug, Default)]
pub(super) struct GpuPlace {
    load: Option<String>,
    clock: Option<String>,
}

/// Looks for the GPU of a Tegra.
pub(super) fn find_gpu(root: &SysRoot) -> GpuPlace {
    let names = root.names(DEVFREQ);
    let folder =
        names.iter().find(|name| is_gpu(root, name)).map(|name| format!("{DEVFREQ}/{name}"));
    let clock = folder.as_ref().map(|folder| format!("{folder}/cur_freq"));
    let mut loads: Vec<String> = folder.iter().map(|f| format!("{f}/device/load")).collect();
    for all in ["sys/devices", "sys/devices/platform", "sys/devices/platform/bus@0"] {
        let of_gpu = |name: &&String| *name == "gpu.0" || is_called(name);
        let names = root.names(all);
        loads.extend(names.iter().filter(of_gpu).map(|name| format!("{all}/{name}/load")));
    }
    GpuPlace { load: loads.into_iter().find(|path| root.has(path)), clock }
}

/// Whether an entry of devfreq is the GPU's.
fn is_gpu(root: &SysRoot, name: &str) -> bool {
    let node = root.text(&format!("{DEVFREQ}/{name}/device/of_node/name"));
    node.is_some_and(|node| GPUS.contains(&node.as_str()))
        || is_called(name)
        || name.starts_with("gpu-gpc")
}

/// Whether a device's name is `ADDRESS.gpu` or the like.
fn is_called(name: &str) -> bool {
    name.split_once('.').is_some_and(|(_, kind)| GPUS.contains(&kind))
}

impl GpuPlace {
    pub(super) fn read(&self, root: &SysRoot) -> GpuNow {
        let number = |path: &Option<String>| root.number(path.as_deref()?);
        let load = number(&self.load).filter(|load| (0..=1000).contains(load));
        let hertz = number(&self.clock).and_then(|hertz| u64::try_from(hertz).ok());
        GpuNow { load: load.map(|load| load as f64 / 1e3), hertz: hertz.filter(|&hertz| hertz > 0) }
    }
}

/// Reads what there is of memory.
pub(in crate::board) fn read_memory(root: &SysRoot) -> MemoryNow {
    let text = root.text("proc/meminfo").unwrap_or_default();
    let bytes = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        kilobytes.checked_mul(1024)
    };
    let clocks = ["sys/kernel/debug/bpmp/debug/clk/emc/rate", "sys/class/devfreq/bwmgr/cur_freq"];
    let hertz = clocks.iter().find_map(|path| u64::try_from(root.number(path)?).ok());
    MemoryNow {
        available: bytes("MemAvailable"),
        total: bytes("MemTotal"),
        hertz: hertz.filter(|&hertz| hertz > 0),
    }
}

/// Names of the cores, `cpu0` first.
pub(super) fn find_cores(root: &SysRoot) -> Vec<String> {
    let numbered = |name: &String| {
        let number = name.strip_prefix("cpu").unwrap_or_default();
        !number.is_empty() && number.chars().all(|c| c.is_ascii_digit())
    };
    root.names(CPUS).into_iter().filter(numbered).collect()
}

/// Reads the processor.
pub(super) fn read_cpu(root: &SysRoot, cores: &[String]) -> CpuNow {
    let hertz = |core: &str, file: &str| {
        let kilohertz = root.number(&format!("{CPUS}/{core}/cpufreq/{file}"))?;
        u64::try_from(kilohertz).ok()?.checked_mul(1000).filter(|&hertz| hertz > 0)
    };
    let clock = |core: &String| hertz(core, "scaling_cur_freq");
    let mut clocks: Vec<Option<u64>> = cores.iter().map(clock).collect();
    if clocks.iter().all(Option::is_none) {
        clocks.clear();
    }
    let online = root.text(&format!("{CPUS}/online")).and_then(|text| count(&text));
    let first = cores.first().map_or("cpu0", String::as_str);
    CpuNow {
        online: online.or_else(|| listed(root)),
        governor: root.label(&format!("{CPUS}/{first}/cpufreq/scaling_governor")),
        hertz: clocks,
        allowed_hertz: hertz(first, "scaling_max_freq"),
        built_hertz: hertz(first, "cpuinfo_max_freq"),
    }
}

/// Cores that `/proc/cpuinfo` lists.
fn listed(root: &SysRoot) -> Option<u32> {
    let text = root.text("proc/cpuinfo")?;
    let cores = text.lines().filter(|line| line.starts_with("processor")).count();
    u32::try_from(cores).ok().filter(|&cores| cores > 0)
}

/// How many numbers `0-3,5` names.
fn count(text: &str) -> Option<u32> {
    let mut cores = 0u32;
    for part in text.split(',') {
        let (from, to) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
        let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
        cores = cores.checked_add(to.checked_sub(from)?.checked_add(1)?)?;
    }
    (cores <= MOST_CORES).then_some(cores)
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn lists_of_cores_are_counted_and_nonsense_is_none() {
        for (text, cores) in [("0-3,5", 5), ("0", 1), ("0-13", 14), ("0-1, 4-5", 4)] {
            assert_eq!(count(text), Some(cores), "{text}");
        }
        for text in ["", "3-1", "0-4294967295", "0-99999", "a", "0,,1", "-1"] {
            assert_eq!(count(text), None, "{text}");
        }
    }
}
