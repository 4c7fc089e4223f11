//! Clocks, loads and memory.

use super::sample::{Clock, CpuNow, GpuNow, MemoryNow};
use crate::board::sysroot::{SysRoot, label};

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

/// What stays of the processor while the machine runs, and the folders of its clocks by name.
#[derive(Clone, Debug)]
pub(super) struct CpuPlace {
    model: Option<String>,
    listed: Option<u32>,
    clocks: Vec<(String, String)>,
}

/// Looks for the processor.
pub(super) fn find_cpu(root: &SysRoot) -> CpuPlace {
    let text = root.text("proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map(|(_, model)| label(model)).filter(|model| !model.is_empty());
    CpuPlace { model, listed: listed(&text), clocks: find_clocks(root) }
}

/// Clocks of groups of cores or, on a kernel that has none, of single cores.
fn find_clocks(root: &SysRoot) -> Vec<(String, String)> {
    let numbered = |name: &String, word: &str| {
        let number = name.strip_prefix(word).unwrap_or_default();
        !number.is_empty() && number.chars().all(|c| c.is_ascii_digit())
    };
    let policies = root.names(&format!("{CPUS}/cpufreq")).into_iter();
    let folder = |name: String| (format!("{CPUS}/cpufreq/{name}"), name);
    let found: Vec<_> = policies.filter(|name| numbered(name, "policy")).map(folder).collect();
    if !found.is_empty() {
        return found;
    }
    let cores = root.names(CPUS).into_iter().filter(|name| numbered(name, "cpu"));
    let folder = |name: String| (format!("{CPUS}/{name}/cpufreq"), name);
    cores.map(folder).filter(|(folder, _)| root.has(folder)).collect()
}

impl CpuPlace {
    pub(super) fn read(&self, root: &SysRoot) -> CpuNow {
        let clock = |(folder, name): &(String, String)| {
            let hertz = |file: &str| {
                let kilohertz = root.number(&format!("{folder}/{file}"))?;
                u64::try_from(kilohertz).ok()?.checked_mul(1000).filter(|&hertz| hertz > 0)
            };
            Clock {
                name: name.clone(),
                hertz: hertz("scaling_cur_freq"),
                allowed: hertz("scaling_max_freq"),
                built: hertz("cpuinfo_max_freq"),
            }
        };
        let online = root.text(&format!("{CPUS}/online")).and_then(|text| count(&text));
        let governor =
            |(folder, _): &(String, String)| root.label(&format!("{folder}/scaling_governor"));
        CpuNow {
            model: self.model.clone(),
            online: online.or(self.listed),
            governor: self.clocks.iter().find_map(governor),
            clocks: self.clocks.iter().map(clock).collect(),
        }
    }
}

/// Cores that `/proc/cpuinfo` lists.
fn listed(text: &str) -> Option<u32> {
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
