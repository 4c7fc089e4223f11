//! The page that shows a data set: some samples of each class, and how many there are.
//!
//! What a sample looks like follows from how it was made and from its shape: a spectrogram is a map
//! of colours, a plane a picture, a row of values a curve over time, and a single column bars.

use super::data::Seen;
use crate::cli::report::{
    Fact, Gallery, GalleryRow, Page, Picture, Row, Rows, Sketch, SketchRow, Sketches, Table, number,
};
use crate::data::{Channel, Counted, Dataset, Extraction, LogMel};

/// Classes of which samples are shown.
const CLASSES: usize = 12;
/// Samples of each.
const SAMPLES: usize = 4;
/// Names in a chart of counts.
const NAMES: usize = 40;
/// Curves in one sketch.
const CURVES: usize = 9;
/// The longest side of a picture, and half the most points of a curve; more is thinned out.
const FINE: usize = 120;
/// Pictures up to this side stand close together, a column a class.
const SMALL: usize = 40;

/// The page.
pub(super) fn page(seen: &Seen<'_>) -> Page {
    let (data, survey) = (seen.data, seen.survey);
    let [channels, height, width] = data.train.shape;
    let made = match &data.extraction {
        Some(extraction) => {
            let setting = |(key, value): (String, String)| format!("{key} {value}");
            let settings: Vec<String> = extraction.settings().into_iter().map(setting).collect();
            format!(" Samples were made by {}: {}.", extraction.kind(), settings.join(", "))
        }
        None => String::new(),
    };
    let page = Page::new(format!("What is in {}", data.name))
        .lead(&format!(
            "{} was recognised as {}. A sample is {channels} × {height} × {width} (channels, \
             height, width), of {}.{made}",
            seen.asked,
            data.kind,
            seen.element()
        ))
        .facts(&facts(seen))
        .section("Some samples");
    let page = samples(page, seen).section("How many").rows(&counts("class", &survey.classes));
    let page = match survey.subjects.is_empty() {
        true => page,
        false => page.rows(&counts("subject", &survey.subjects)),
    };
    page.section("Values").table(&values(&survey.channels)).footer(&format!(
        "unlearn {}, digest of the training part {}.",
        env!("CARGO_PKG_VERSION"),
        survey.digest
    ))
}

fn count(number_of: usize) -> String {
    number(number_of as f64, 0)
}

fn facts(seen: &Seen<'_>) -> Vec<Fact> {
    let (data, survey) = (seen.data, seen.survey);
    let missing = seen.missing(|class| class.test).len();
    let classes =
        if missing > 0 { format!("{missing} not in the test part") } else { String::new() };
    let subjects = match survey.subjects.len() {
        0 => "–".into(),
        subjects => count(subjects),
    };
    let repeats = survey.repeats;
    vec![
        Fact::new(
            "Samples",
            count(data.train.len() + data.test.len()),
            format!("{} train, {} test", count(data.train.len()), count(data.test.len())),
        ),
        Fact::new("Classes", count(survey.classes.len()), classes),
        Fact::new("Subjects", subjects, ""),
        Fact::new(
            "In both parts",
            count(repeats.across),
            format!("test samples equal to a training sample; {} twice in train", repeats.within),
        ),
    ]
}

/// Training samples to show of each of the first classes: at even distances among those it has.
fn chosen(train: &Dataset) -> Vec<Vec<usize>> {
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); train.classes.len().min(CLASSES)];
    for (index, &label) in train.labels.iter().enumerate() {
        if let Some(members) = members.get_mut(label as usize) {
            members.push(index);
        }
    }
    let spread = |members: &Vec<usize>| {
        let shown = members.len().min(SAMPLES);
        (0..shown).map(|at| members[at * members.len() / shown]).collect()
    };
    members.iter().map(spread).collect()
}

/// `sample 17, george`.
fn caption(train: &Dataset, index: usize) -> String {
    let subject = train.subjects.get(index).map(|&subject| &train.subject_names[subject as usize]);
    match subject {
        Some(subject) => format!("sample {index}, {subject}"),
        None => format!("sample {index}"),
    }
}

fn samples(page: Page, seen: &Seen<'_>) -> Page {
    let train = &seen.data.train;
    let chosen = chosen(train);
    match (&seen.data.extraction, train.shape) {
        (Some(Extraction::LogMel(settings)), _) => {
            page.gallery(&spectrograms(seen, &chosen, settings))
        }
        (_, [_, 1, 1]) => page.sketches(&vectors(seen, &chosen)),
        (_, [_, 1, _] | [_, _, 1]) => page.sketches(&series(seen, &chosen)),
        _ => page.gallery(&pictures(seen, &chosen)),
    }
}

/// The smallest and the largest value of the training part.
fn range(channels: &[Channel]) -> [f32; 2] {
    let low = channels.iter().map(|channel| channel.low).fold(f32::INFINITY, f32::min);
    let high = channels.iter().map(|channel| channel.high).fold(f32::NEG_INFINITY, f32::max);
    [low, high]
}

/// Sample `index` as floats.
fn read(train: &Dataset, index: usize) -> Vec<f32> {
    let mut sample = vec![0.0; train.sample_len()];
    train.read(index, &mut sample);
    sample
}

/// `value` as a share of the way from `low` to `high`.
fn share(value: f32, [low, high]: [f32; 2]) -> f32 {
    if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 }
}

fn pictures(seen: &Seen<'_>, chosen: &[Vec<usize>]) -> Gallery {
    let train = &seen.data.train;
    let [channels, height, width] = train.shape;
    let found = range(&seen.survey.channels);
    let whole = found[0] >= 0.0 && found[1] <= 1.0;
    let range = if whole { [0.0, 1.0] } else { found };
    let planes = if channels == 3 { 3 } else { 1 };
    let step = height.max(width).div_ceil(FINE);
    let picture = |index: usize| {
        let sample = read(train, index);
        let mut pixels = Vec::new();
        for plane in sample.chunks_exact(height * width).take(planes) {
            for row in plane.chunks_exact(width).step_by(step) {
                let shades = row.iter().step_by(step);
                pixels.extend(shades.map(|&value| (share(value, range) * 255.0).round() as u8));
            }
        }
        let shape = [planes, height.div_ceil(step), width.div_ceil(step)];
        Picture { caption: caption(train, index), shape, pixels }
    };
    let grey = match channels {
        1 | 3 => "",
        _ => " The first channel is shown in grey.",
    };
    let scale = match whole {
        true => "0 is black, 1 is white".to_string(),
        false => format!("{} is black, {} is white", range[0], range[1]),
    };
    let note = format!("Training samples at even distances within each class; {scale}.{grey}");
    let title = "Samples of each class".to_string();
    let names = train.classes.iter().take(chosen.len());
    let gallery = |columns, rows| Gallery { title, note, columns, rows };
    if height.max(width) <= SMALL {
        let row = |at: usize| {
            let pictures = chosen.iter().map(|of| of.get(at).map_or_else(blank, |&i| picture(i)));
            GalleryRow { name: (at + 1).to_string(), marked: false, pictures: pictures.collect() }
        };
        let most = chosen.iter().map(Vec::len).max().unwrap_or(0);
        return gallery(names.cloned().collect(), (0..most).map(row).collect());
    }
    let rows = names.zip(chosen).map(|(name, of)| {
        let pictures = of.iter().map(|&index| picture(index)).collect();
        GalleryRow { name: name.clone(), marked: false, pictures }
    });
    gallery((1..=SAMPLES).map(|at| at.to_string()).collect(), rows.collect())
}

/// A hole in a gallery, where a class has fewer samples than others.
fn blank() -> Picture {
    Picture { caption: "no sample".into(), shape: [1, 1, 1], pixels: vec![128] }
}

/// Colours from quiet to loud, even in lightness: dark blue, violet, orange, light yellow.
const RAMP: [[f32; 3]; 5] = [
    [8.0, 8.0, 40.0],
    [80.0, 18.0, 123.0],
    [182.0, 54.0, 121.0],
    [251.0, 136.0, 97.0],
    [252.0, 253.0, 191.0],
];

fn colour(share: f32) -> [u8; 3] {
    let place = share * (RAMP.len() - 1) as f32;
    let at = (place as usize).min(RAMP.len() - 2);
    let part = place - at as f32;
    [0, 1, 2].map(|c| (RAMP[at][c] + (RAMP[at + 1][c] - RAMP[at][c]) * part).round() as u8)
}

fn spectrograms(seen: &Seen<'_>, chosen: &[Vec<usize>], settings: &LogMel) -> Gallery {
    let train = &seen.data.train;
    let [_, height, width] = train.shape;
    let picture = |index: usize| {
        let sample = read(train, index);
        // The lowest band is the first row; it stands at the bottom.
        let rows = sample.chunks_exact(width).take(height).rev();
        let ends = sample.iter().fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], &value| {
            [low.min(value), high.max(value)]
        });
        let colours: Vec<[u8; 3]> = rows.flatten().map(|&v| colour(share(v, ends))).collect();
        let pixels = (0..3).flat_map(|plane| colours.iter().map(move |rgb| rgb[plane])).collect();
        Picture { caption: caption(train, index), shape: [3, height, width], pixels }
    };
    let rows = train.classes.iter().zip(chosen).map(|(name, of)| {
        let pictures = of.iter().map(|&index| picture(index)).collect();
        GalleryRow { name: name.clone(), marked: false, pictures }
    });
    let seconds = (width * settings.hop) as f64 / f64::from(settings.rate.max(1));
    Gallery {
        title: "Samples of each class, as log-mel spectrograms".into(),
        note: format!(
            "Across: time, {} s in {width} windows. Up: frequency, {height} mel bands from {} Hz at \
             the bottom to {} Hz at the top. Colour: log power, from the quietest (dark) to the \
             loudest (light) of each sample. Training samples at even distances within each class.",
            number(seconds, 2),
            settings.low,
            settings.high
        ),
        columns: (1..=SAMPLES).map(|at| at.to_string()).collect(),
        rows: rows.collect(),
    }
}

fn sketched(
    train: &Dataset,
    chosen: &[Vec<usize>],
    sketch: impl Fn(usize) -> Sketch,
) -> Vec<SketchRow> {
    let row = |(name, of): (&String, &Vec<usize>)| SketchRow {
        name: name.clone(),
        sketches: of.iter().map(|&index| sketch(index)).collect(),
    };
    train.classes.iter().zip(chosen).map(row).collect()
}

fn series(seen: &Seen<'_>, chosen: &[Vec<usize>]) -> Sketches {
    let train = &seen.data.train;
    let [channels, height, width] = train.shape;
    let steps = height * width;
    let sketch = |index: usize| {
        let sample = read(train, index);
        let curves = sample.chunks_exact(steps).take(CURVES).map(thinned).collect();
        Sketch { caption: caption(train, index), curves }
    };
    let shown = channels.min(CURVES);
    let name = |at: usize| match at {
        0..6 => format!("channel {at}"),
        _ => format!("channel {at}, dashed"),
    };
    let more = match channels > shown {
        true => format!(" The first {shown} of {channels} channels."),
        false => String::new(),
    };
    Sketches {
        title: "Samples of each class, as curves".into(),
        note: format!(
            "Across: time, step 0 to {} of the window. Up: value, in the data's own unit; the same axes \
             for all.{more} Training samples at even distances within each class.",
            steps - 1
        ),
        curves: if channels > 1 { (0..shown).map(name).collect() } else { Vec::new() },
        range: range(&seen.survey.channels[..shown]).map(f64::from),
        span: [0.0, (steps - 1) as f64],
        bars: false,
        rows: sketched(train, chosen, sketch),
    }
}

/// A curve of at most `2 * FINE` points: of each stretch its smallest and its largest value, so that
/// no peak is lost.
fn thinned(values: &[f32]) -> Vec<f64> {
    if values.len() <= 2 * FINE {
        return values.iter().map(|&value| f64::from(value)).collect();
    }
    let stretch = values.len().div_ceil(FINE);
    let ends = values.chunks(stretch).flat_map(|part| {
        let low = part.iter().copied().fold(f32::INFINITY, f32::min);
        let high = part.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        [f64::from(low), f64::from(high)]
    });
    ends.collect()
}

fn vectors(seen: &Seen<'_>, chosen: &[Vec<usize>]) -> Sketches {
    let train = &seen.data.train;
    let len = train.sample_len();
    let sketch = |index: usize| {
        let sample = read(train, index);
        let filled = sample.iter().filter(|value| **value != 0.0).count();
        // Of each stretch the value that is furthest from 0.
        let furthest = sample.chunks(len.div_ceil(FINE)).map(|part| {
            let all = part.iter().map(|&value| f64::from(value));
            all.fold(0.0, |most: f64, value| if value.abs() > most.abs() { value } else { most })
        });
        let said = format!("{}: {filled} of {len} are not 0", caption(train, index));
        Sketch { caption: said, curves: vec![furthest.collect()] }
    };
    let [low, high] = range(&seen.survey.channels).map(f64::from);
    let thinned = match len > FINE {
        true => " Of places too close to draw, the value furthest from 0.",
        false => "",
    };
    Sketches {
        title: "Samples of each class, as bars".into(),
        note: format!(
            "Across: place in the vector, 0 to {}. Up: value; the same axes for all.{thinned} \
             Training samples at even distances within each class.",
            len - 1
        ),
        curves: Vec::new(),
        range: [low.min(0.0), high.max(0.0)],
        span: [0.0, (len - 1) as f64],
        bars: true,
        rows: sketched(train, chosen, sketch),
    }
}

fn counts(word: &str, counted: &[Counted]) -> Rows {
    let row = |Counted { name, train, test }: &Counted| Row {
        name: name.clone(),
        parts: vec![*train as f64, *test as f64],
        said: format!("{} + {}", count(*train), count(*test)),
    };
    let more = match counted.len().saturating_sub(NAMES) {
        0 => String::new(),
        more => format!(" The first {NAMES}; {more} more are not drawn."),
    };
    Rows {
        title: format!("Samples of each {word}"),
        note: format!("At the right: training + test samples.{more}"),
        axis: "samples".into(),
        parts: ["train", "test"].map(String::from).to_vec(),
        rows: counted.iter().take(NAMES).map(row).collect(),
    }
}

fn values(channels: &[Channel]) -> Table {
    let figure = |value: f64| number(value, 6);
    let row = |(at, channel): (usize, &Channel)| {
        let Channel { low, high, mean, std } = channel;
        let figures = [f64::from(*low), f64::from(*high), *mean, *std].map(figure);
        std::iter::once(at.to_string()).chain(figures).map(Into::into).collect()
    };
    let more = match channels.len().saturating_sub(NAMES) {
        0 => String::new(),
        more => format!(" The first {NAMES}; {more} more are not listed."),
    };
    Table {
        title: "Values of each channel".into(),
        note: format!(
            "Training part. `mean` and `std` of [input] in a network description take one number a \
             channel.{more}"
        ),
        columns: ["channel", "low", "high", "mean", "std"].map(String::from).to_vec(),
        rows: channels.iter().enumerate().take(NAMES).map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Stream;
    use crate::data::{HashedNgrams, Splits, Survey, Values};

    /// A set of 40 samples of three classes and two people, whose values `draw` gives by sample and
    /// place.
    fn made(
        shape: [usize; 3],
        extraction: Option<Extraction>,
        mut draw: impl FnMut(usize, usize) -> f32,
    ) -> Splits {
        let len: usize = shape.iter().product();
        let train = Dataset {
            shape,
            values: Values::Floats((0..40 * len).map(|at| draw(at / len, at % len)).collect()),
            labels: (0..40).map(|index| index % 3).collect(),
            classes: ["walking", "sitting", "standing on one leg"].map(String::from).to_vec(),
            subjects: (0..40).map(|index| index / 20).collect(),
            subject_names: ["ana", "ben"].map(String::from).to_vec(),
            groups: Vec::new(),
        };
        let test = train.subset(&[0, 1]);
        Splits { name: "drawn".into(), kind: "test", extraction, train, test }
    }

    fn html(name: &str, data: &Splits) -> String {
        let survey = Survey::of(data).unwrap();
        let html = page(&Seen { asked: name, data, survey: &survey, networks: vec![] }).html();
        assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
        // For looking at: `UNLEARN_PAGES=folder cargo test --lib samples`.
        if let Some(folder) = std::env::var_os("UNLEARN_PAGES") {
            let path = std::path::Path::new(&folder).join(format!("{name}.html"));
            std::fs::write(path, &html).unwrap();
        }
        html
    }

    fn holds(html: &str, phrases: &[&str]) {
        phrases.iter().for_each(|phrase| assert!(html.contains(phrase), "no `{phrase}`"));
    }

    #[test]
    fn a_spectrogram_is_a_map_of_colours_with_low_bands_at_the_bottom() {
        let settings = LogMel { mels: 20, frames: 32, ..LogMel::default() };
        let mut stream = Stream::new(3, "spectrogram");
        let data = made([1, 20, 32], Some(Extraction::LogMel(settings)), |sample, at| {
            let (band, frame) = (at / 32, at % 32);
            let loud = (band as f32 - 4.0 - sample as f32 / 5.0 - frame as f32 / 6.0).abs();
            -loud + stream.unit() as f32
        });
        let html = html("spectrogram", &data);
        holds(&html, &["Across: time, 0.51 s", "20 mel bands from 40 Hz at the bottom", "4000 Hz"]);
        assert_eq!(html.matches("<img ").count(), 12);
        let survey = Survey::of(&data).unwrap();
        let seen = Seen { asked: "x", data: &data, survey: &survey, networks: vec![] };
        let gallery = spectrograms(&seen, &[vec![0]], &settings);
        let picture = &gallery.rows[0].pictures[0];
        // Sample 0 is loud in band 4 at first: the 16th row from the top is lighter than the first.
        let red = |row: usize| picture.pixels[row * 32];
        assert!(red(15) > 150 && red(0) < 60, "{} {}", red(15), red(0));
    }

    #[test]
    fn a_window_is_a_curve_for_each_channel() {
        let data = made([9, 1, 128], None, |sample, at| {
            let (channel, step) = (at / 128, at % 128);
            ((step + 9 * sample) as f32 / (4.0 + channel as f32)).sin()
                * (1.0 + channel as f32 / 4.0)
        });
        let html = html("series", &data);
        holds(
            &html,
            &["step 0 to 127", "channel 8, dashed", "standing on one leg", "sample 0, ana"],
        );
        assert_eq!(html.matches("class=\"thin k").count(), 12 * 9);
    }

    #[test]
    fn a_long_curve_keeps_its_peaks() {
        let mut values = vec![0.0f32; 100_000];
        (values[12_345], values[80_001]) = (7.0, -3.0);
        let thinned = thinned(&values);
        assert!(thinned.len() <= 2 * FINE, "{}", thinned.len());
        assert!(thinned.contains(&7.0) && thinned.contains(&-3.0));
    }

    #[test]
    fn a_vector_is_bars_and_says_how_many_are_not_0() {
        let ngrams =
            Extraction::HashedNgrams(HashedNgrams { dimensions: 500, ..HashedNgrams::default() });
        let data = made([500, 1, 1], Some(ngrams), |sample, at| {
            if at % 50 == sample { 1.0 + (at % 3) as f32 } else { 0.0 }
        });
        holds(&html("vector", &data), &["10 of 500 are not 0", "0 to 499", "furthest from 0"]);
    }

    #[test]
    fn pictures_of_any_size_and_number_of_channels_are_shown() {
        for (name, shape) in
            [("rgb", [3, 20, 24]), ("large", [3, 300, 200]), ("odd", [2, 7, 5]), ("one", [1, 1, 1])]
        {
            let data = made(shape, None, |sample, at| (at * (sample + 1) % 97) as f32 - 30.0);
            assert!(html(name, &data).contains("Samples of each class"), "{name}");
        }
    }

    #[test]
    fn a_class_without_samples_leaves_a_hole() {
        let mut data = made([1, 4, 4], None, |_, at| at as f32);
        data.train.labels.fill(0);
        data.train.labels[7] = 2;
        let html = html("holes", &data);
        holds(&html, &["no sample"]);
    }
}
