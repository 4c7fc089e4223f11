//! The machine as a page of 80 columns.

use super::Seen;
use super::value::built;
use crate::board::{Clock, Detected, Sample, Scope, Tier, Total};
use crate::cli::table::Table;

/// Columns of the page, and of its keys with the gap behind them.
const WIDTH: usize = 80;
const KEYS: usize = 14;

pub(super) fn text(seen: &Seen) -> String {
    let profile = &seen.found.profile;
    let head = format!("{} ({})\n\n", profile.name, profile.slug);
    let blocks = [
        machine(&seen.found),
        heading("It allows") + &allows(seen),
        heading("It is limited now by") + &limits(seen),
        heading("It takes now") + &power(seen),
    ];
    head + &blocks.concat()
}

/// Bytes in the unit in which modules are sold.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..0x4000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64),
    }
}

fn heading(words: &str) -> String {
    format!("\n{words}\n{}\n", "-".repeat(words.len()))
}

/// A key and what belongs to it, broken into lines.
pub(super) fn line(key: &str, words: &str) -> String {
    let mut text = format!("{key:<KEYS$}");
    let mut column = KEYS;
    for (at, word) in words.split(' ').enumerate() {
        let length = word.chars().count();
        if at > 0 && column + 1 + length > WIDTH {
            text += &format!("\n{:KEYS$}", "");
            column = KEYS;
        } else if at > 0 {
            text.push(' ');
            column += 1;
        }
        text += word;
        column += length;
    }
    text + "\n"
}

fn machine(found: &Detected) -> String {
    let mut text = line("recognised", &found.recognised.to_string());
    let chip = [found.soc.as_deref(), found.module.as_deref()];
    let chip: Vec<&str> = chip.into_iter().flatten().collect();
    if !chip.is_empty() {
        text += &line("chip, module", &chip.join(", "));
    }
    if let Some(model) = &found.model {
        text += &line("calls itself", model);
    }
    let release = found.l4t.as_ref().map(|release| format!("Jetson Linux {release}"));
    let kernel = found.kernel.as_ref().map(|kernel| format!("kernel {kernel}"));
    let system: Vec<String> = release.into_iter().chain(kernel).collect();
    if !system.is_empty() {
        text += &line("system", &system.join(", "));
    }
    let tried = match found.profile.tier {
        Tier::Hardware => "on the board itself; its figures were measured there",
        Tier::Fixture => {
            "on files captured from one, or made after its documentation; not on a board"
        }
        Tier::Spec => "not at all: what is known is from documentation",
    };
    text += &line("tried", tried);
    for warning in &found.warnings {
        text += &line("beware", &warning.to_string());
    }
    text
}

fn allows(seen: &Seen) -> String {
    let profile = &seen.found.profile;
    let storage = profile.storage.internal.as_deref().filter(|internal| *internal != "none");
    let keys = match profile.keys.evidence {
        Some(level) => format!("an erasure reaches evidence level {level} of 3 at most"),
        None => "what can keep a device key here is not known".into(),
    };
    let limits = &profile.limits;
    let told = [
        limits.memory.map(|bytes| format!("{} of memory", size(bytes))),
        limits.celsius.map(|celsius| format!("a pause at {celsius:.0} °C")),
    ];
    let told: Vec<String> = told.into_iter().flatten().collect();
    let limits = if told.is_empty() { "none of its own".to_string() } else { told.join(", ") };
    let mut text = line("processor", &processor(seen)) + &line("GPU", &gpu(seen));
    text += &seen.cuda.as_ref().map_or_else(String::new, super::cuda::Cuda::text);
    text += &line("memory", &memory(seen));
    if let Some(storage) = storage {
        text += &line("storage", storage);
    }
    text + &line("keys", &keys) + &line("limits", &limits)
}

fn processor(seen: &Seen) -> String {
    let (profile, now) = (&seen.found.profile.cpu, &seen.sample.cpu);
    let model = profile.model.as_deref().or(now.model.as_deref());
    let model = model.unwrap_or("of a model that is not known");
    let cores = match (profile.cores, now.online) {
        (Some(cores), Some(online)) if online != cores => format!("{online} of {cores} cores run"),
        (Some(cores), _) => format!("{cores} cores"),
        (None, Some(online)) => format!("{online} cores run"),
        (None, None) => "cores were not counted".into(),
    };
    let place = if seen.own { "here" } else { "on the machine that asks" };
    format!("{cores}, {model}; kernels use {} {place}", seen.isa)
}

fn gpu(seen: &Seen) -> String {
    let Some(gpu) = &seen.found.profile.gpu else { return "none is known; the CPU is used".into() };
    let capability = seen.found.capability().unwrap_or(gpu.capability);
    let tensor = match gpu.tensor_cores {
        0 => String::new(),
        cores => format!(", {cores} tensor cores"),
    };
    let used = if gpu.usable {
        "for --device cuda, which no such board has run yet"
    } else {
        "not used: its last CUDA release is too old"
    };
    format!(
        "{}, compute capability {capability}, {} CUDA cores{tensor}; {used}",
        gpu.architecture, gpu.cores
    )
}

fn memory(seen: &Seen) -> String {
    let now = &seen.sample.memory;
    let memory = seen.found.profile.memory.as_ref();
    let whole = memory.and_then(|memory| built(memory, now.total));
    let told = [
        whole.map(|bytes| format!("{} built in", size(bytes))),
        memory.map(|memory| format!("{} GB/s", memory.bandwidth)),
        now.total.map(|bytes| format!("{} counted by the kernel", size(bytes))),
        now.available.map(|bytes| format!("{} available now", size(bytes))),
    ];
    let told: Vec<String> = told.into_iter().flatten().collect();
    if told.is_empty() { "not known".into() } else { told.join(", ") }
}

fn limits(seen: &Seen) -> String {
    let (profile, sample) = (&seen.found.profile, &seen.sample);
    let bench = profile.power.bench_mode.as_deref();
    let mode = match (sample.mode.as_deref(), bench) {
        (Some(mode), Some(bench)) if mode == bench => {
            format!("{mode}, in which figures of this board are told")
        }
        (Some(mode), Some(bench)) => {
            format!("{mode}; figures of this board are told in {bench}")
        }
        (Some(mode), None) => mode.to_string(),
        (None, Some(bench)) => {
            format!("not told; figures of this board are told in {bench}")
        }
        (None, None) => "none".into(),
    };
    let heat = match sample.hottest() {
        Some(zone) => {
            let room = profile.limits.celsius.map(|limit| limit - zone.celsius);
            let room = match room {
                Some(room) if room >= 0.0 => format!("; {room:.0} below the pause"),
                Some(room) => format!("; {:.0} ABOVE the pause", -room),
                None => String::new(),
            };
            format!("{:.1} °C at {}, the hottest{room}", zone.celsius, zone.name)
        }
        None => "no zone tells its temperature".into(),
    };
    let mut text = line("power mode", &mode) + &line("heat", &heat);
    let zone = |zone: &crate::board::Zone| {
        let constant = if zone.constant { " (constant)" } else { "" };
        format!("{} {:.1}{constant}", zone.name, zone.celsius)
    };
    if sample.zones.len() > 1 {
        text += &line("zones", &sample.zones.iter().map(zone).collect::<Vec<_>>().join(", "));
    }
    text + &line("throttling", &throttling(sample)) + &line("clocks", &clocks(sample))
}

fn throttling(sample: &Sample) -> String {
    let held = sample.cooling.iter().filter(|cooling| cooling.state > 0);
    let held: Vec<String> = held.map(|c| format!("{} ({})", c.name, c.state)).collect();
    let risen = sample.throttle.iter().filter(|counter| counter.count > 0);
    let risen: Vec<String> = risen.map(|c| format!("{} {}", c.name, c.count)).collect();
    let now = match (held.is_empty(), sample.cooling.is_empty()) {
        (false, _) => format!("held back now: {}", held.join(", ")),
        (true, false) => "nothing is held back now".into(),
        (true, true) => "what is held back is not told".into(),
    };
    let before = match (risen.is_empty(), sample.throttle.is_empty()) {
        (false, _) => format!("counted since it was switched on: {}", risen.join(", ")),
        (true, false) => "no event since it was switched on".into(),
        (true, true) => "events are not counted".into(),
    };
    format!("{now}; {before}")
}

fn clocks(sample: &Sample) -> String {
    let mega = |hertz: u64| hertz / 1_000_000;
    let one = |clock: &Clock| {
        let now = clock.hertz.map_or("off".to_string(), |hertz| mega(hertz).to_string());
        let most = clock.allowed.or(clock.built);
        most.map_or(format!("{now} MHz"), |most| format!("{now} of {} MHz", mega(most)))
    };
    let mut groups: Vec<String> = Vec::new();
    for told in sample.cpu.clocks.iter().map(one) {
        if !groups.contains(&told) {
            groups.push(told);
        }
    }
    let shown = 4.min(groups.len());
    let more = groups.len() - shown;
    let more = if more > 0 { format!(" and {more} others") } else { String::new() };
    let cpu = (shown > 0).then(|| format!("processor {}{more}", groups[..shown].join(", ")));
    let governor = sample.cpu.governor.as_ref().map(|governor| format!("governor {governor}"));
    let gpu = sample.gpu.hertz.map(|hertz| format!("GPU {} MHz", mega(hertz)));
    let load = sample.gpu.load.map(|load| format!("GPU busy {:.0} %", 100.0 * load));
    let told: Vec<String> = [cpu, governor, gpu, load].into_iter().flatten().collect();
    if told.is_empty() { "not told".into() } else { told.join("; ") }
}

fn power(seen: &Seen) -> String {
    let sample = &seen.sample;
    let mut text = String::new();
    if !sample.rails.is_empty() {
        let mut table = Table::new(["rail", "watts", ""]);
        for rail in &sample.rails {
            let over = if rail.over_current == Some(true) { "over its current limit" } else { "" };
            table.row(vec![rail.name.clone(), format!("{:.3}", rail.watts), over.into()]);
        }
        text += &format!("{table}\n");
    }
    let words = match (&sample.total, &seen.found.profile.power.total) {
        (Some(total), _) => {
            let scope = match total.scope {
                Scope::Module => "the module",
                Scope::Board => "the whole board",
            };
            format!("{:.3} W for {scope}: {}", total.watts, total.of.join(" + "))
        }
        (None, _) if sample.rails.is_empty() && sample.energy.is_empty() => {
            "no power sensor: joules are not measured".into()
        }
        (None, _) if sample.rails.is_empty() => {
            "no power sensor; the processor counts the energy of its packages".into()
        }
        (None, Total::Unknown) => {
            "no sum: the profile does not say which rails make up the whole".into()
        }
        (None, Total::Rail(rail)) => format!("no sum: {rail} did not answer"),
        (None, Total::Sum(rails)) => format!("no sum: not all of {} answered", rails.join(", ")),
    };
    text += &line("in all", &words);
    for counter in &sample.energy {
        let joules = counter.microjoules as f64 / 1e6;
        text += &line("energy", &format!("{} stands at {joules:.0} J", counter.name));
    }
    text
}
