use super::*;
use crate::base::rng::Stream;

/// Shapes of five generations, after lines that public projects quote.
const NANO: &str = "RAM 613/3964MB (lfb 634x4MB) SWAP 0/1982MB (cached 0MB) IRAM 0/252kB(lfb 252kB) CPU [2%@102,1%@102,off,0%@102] EMC_FREQ 3%@1600 GR3D_FREQ 0%@76 APE 25 PLL@39C CPU@40.5C PMIC@100C GPU@41C AO@46C thermal@41C POM_5V_IN 900/943 POM_5V_GPU 0/0 POM_5V_CPU 123/123";
const XAVIER: &str = "RAM 721/31927MB (lfb 7291x4MB) SWAP 0/15963MB (cached 0MB) CPU [2%@1190,0%@1190,off,off] EMC_FREQ 0%@665 GR3D_FREQ 0%@318 APE 150 MTS fg 0% bg 0% AO@37.5C GPU@37.5C GPU 0/0 CPU 311/311 SOC 932/932 CV 0/0 VDDRQ 621/621 SYS5V 1482/1482";
const ORIN: &str = "04-11-2025 10:36:27 RAM 4321/62801MB (lfb 1759x4MB) SWAP 19/31400MB (cached 0MB) CPU [1%@729,3%@729] EMC_FREQ 0%@2133 GR3D_FREQ 12%@[1300,1302] NVDLA0 OFF VIC_FREQ 729 APE 174 CV0@-256C CPU@44.562C Tboard@32C GPU@-256C VDD_GPU_SOC 2340mW/2340mW VDD_CPU_CV 390mW/400mW VIN_SYS_5V0 4025mW/4025mW NC 0mW/0mW VDDQ_VDD2_1V8AO 301mW/301mW NC 0mW/0mW";
const ORIN7: &str = "03-09-2026 14:12:52 RAM 1905/7620MB (lfb 36x4MB) CPU [0%@729,off] GR3D_FREQ 0%@[0] cpu@46.125C/46.2C tj@46.125C/47C VDD_IN 5139mW/5140mW/6000mW";
const THOR: &str = "08-08-2026 20:58:23 RAM 3429/125749MB (lfb 120x4MB) CPU [0%,5%,off]@2601 EMC_FREQ @4266 GR3D_FREQ @[1000,1000, 1000] NVENC0_FREQ @314 VIC off PVA0_FREQ off cpu@49.75C/49.75C VDD_GPU -392mW/-392mW/0mW VIN 28906mW/14453mW/28906mW";

fn line(text: &str) -> Line {
    let line = Line::parse(text).unwrap();
    assert_eq!(line.unknown, [""; 0], "{text}");
    line
}

fn rails(line: &Line) -> Vec<(&str, f64)> {
    line.rails.iter().map(|rail| (rail.name.as_str(), rail.watts)).collect()
}

#[test]
fn a_line_of_jetpack_4_is_read() {
    let nano = line(NANO);
    assert_eq!(nano.at, None);
    assert_eq!(nano.memory, Some(Used { used: 613 << 20, total: 3964 << 20 }));
    assert_eq!((nano.cores.len(), &nano.cores[2]), (4, &None));
    assert_eq!(nano.cores[0], Some(Busy { load: Some(0.02), hertz: vec![102_000_000] }));
    assert_eq!(nano.emc, Some(Busy { load: Some(0.03), hertz: vec![1_600_000_000] }));
    assert_eq!(nano.zones[1], ("CPU".into(), 40.5));
    assert_eq!(rails(&nano), [("POM_5V_IN", 0.9), ("POM_5V_GPU", 0.0), ("POM_5V_CPU", 0.123)]);
    assert_eq!((nano.rails[0].mean, nano.rails[0].most), (Some(0.943), None));
    let xavier = line(XAVIER);
    assert_eq!(xavier.cores.len(), 4, "`CPU` is cores here");
    assert_eq!(rails(&xavier)[1], ("CPU", 0.311), "and a rail there");
}

#[test]
fn a_line_of_jetpack_5_and_6_is_read() {
    let orin = line(ORIN);
    assert_eq!(orin.at, Some(1_744_367_787), "date -u -d '2025-04-11 10:36:27' +%s");
    let gpu = Busy { load: Some(0.12), hertz: vec![1_300_000_000, 1_302_000_000] };
    assert_eq!(orin.gpu, Some(gpu));
    assert_eq!(orin.zones, [("CPU".into(), 44.562), ("Tboard".into(), 32.0)]);
    let names: Vec<&str> = rails(&orin).iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"]);
}

#[test]
fn lines_of_jetpack_7_are_read() {
    let orin = line(ORIN7);
    let rail =
        LoggedRail { name: "VDD_IN".into(), watts: 5.139, mean: Some(5.14), most: Some(6.0) };
    assert_eq!((&orin.rails[..], orin.zones[1].1), (&[rail][..], 46.125));
    assert_eq!(orin.gpu, Some(Busy { load: Some(0.0), hertz: vec![] }), "a clock of 0 is none");
    let thor = line(THOR);
    assert_eq!(thor.gpu, Some(Busy { load: None, hertz: vec![1_000_000_000; 3] }));
    assert_eq!(thor.cores[1], Some(Busy { load: Some(0.05), hertz: vec![2_601_000_000] }));
    assert_eq!(thor.cores[2], None);
    assert_eq!(rails(&thor), [("VDD_GPU", -0.392), ("VIN", 28.906)]);
}

#[test]
fn a_log_is_told_as_a_whole() {
    let at = |clock: &str, watts: u32, load: u32| {
        format!(
            "03-09-2026 {clock} RAM 1000/7620MB CPU [{load}%@1000,off] tj@46.5C NEW_THING 3% VDD_IN {watts}mW/1mW\n"
        )
    };
    let text = at("23:59:58", 4000, 10) + "\n" + &at("23:59:59", 5000, 20) + &at("23:60:00", 0, 0);
    let log = Log::parse(&text, "log").unwrap();
    assert_eq!((log.lines, log.seconds), (3, Some(1)), "a time that is none is no time");
    let text =
        at("10:00:00", 4000, 10) + &at("10:00:01", 5000, 20) + &at("10:00:02", 9000, 60) + "RA";
    let log = Log::parse(&text, "log").unwrap();
    assert_eq!((log.lines, log.seconds), (3, Some(2)));
    let kinds: Vec<(Kind, &str)> = log.figures.iter().map(|f| (f.kind, f.name.as_str())).collect();
    assert_eq!(
        kinds,
        [
            (Kind::Rail, "VDD_IN"),
            (Kind::Zone, "tj"),
            (Kind::Load, "CPU"),
            (Kind::Clock, "CPU"),
            (Kind::Memory, "RAM")
        ]
    );
    let rail = &log.figures[0];
    assert_eq!((rail.min, rail.mean, rail.max, rail.joules), (4.0, 6.0, 9.0, Some(12.0)));
    assert_eq!(log.unknown["NEW_THING"], 3);
    assert!((log.figures[2].mean - 0.3).abs() < 1e-12 && log.figures[2].joules.is_none());
}

#[test]
fn a_line_that_is_none_is_an_error_with_its_number() {
    let text = format!("{NANO}\n\nhello \u{1b}[2J world\n{NANO}\n");
    let told = Log::parse(&text, "a.log").unwrap_err().to_string();
    assert!(told.starts_with("a.log, line 3:") && told.contains("hello"), "{told}");
    assert!(!told.contains('\u{1b}'), "a terminal would obey it");
    for text in ["", "\n\n", "RA"] {
        assert!(
            matches!(Log::parse(text, "a.log"), Err(BoardError::Log { line: 1, .. })),
            "{text:?}"
        );
    }
    let long = format!("{NANO} {}", "x".repeat(line::MOST));
    assert!(Log::parse(&long, "a.log").is_err());
}

#[test]
fn no_line_makes_it_panic_or_grow() {
    let mut stream = Stream::new(7, "board/tegrastats/liars");
    let marks = b"[](),/%@-.0:9 \0\xffNmC";
    for text in [NANO, XAVIER, ORIN, ORIN7, THOR] {
        for end in 0..=text.len() {
            let _ = Line::parse(&text[..end]);
        }
        for _ in 0..300 {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..4 {
                let at = stream.index(bytes.len());
                bytes[at] = marks[stream.index(marks.len())];
            }
            let _ = Line::parse(&String::from_utf8_lossy(&bytes));
        }
    }
    let names = |n: usize| format!("tj@1C Z{n}@1C word{n}\n");
    let log = Log::parse(&(0..1000).map(names).collect::<String>(), "log").unwrap();
    assert_eq!((log.figures.len(), log.unknown.len()), (MOST_NAMES, MOST_NAMES + 1));
}
