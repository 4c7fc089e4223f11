//! Pictures in JPEG and PNG files, one a sample.
//!
//! A file lies in the folder of its class, `CLASS/NAME` or `train/CLASS/NAME` and `test/CLASS/NAME`
//! (without `test`, `val` is it; without either, a fifth of each class becomes one), or stands in a
//! `list.csv` as sound does, or lies as a well-known set has it ([`super::published`]). Its bytes say what it is, not its ending.
//!
//! Where nothing is said, all pictures must have the size and the channels of the first; else they are
//! brought to those of [`Picture`]. Transparency is dropped, a rotation that a camera noted is not
//! applied, as in torchvision's `ImageFolder`.

use std::io::Cursor;
use std::path::Path;

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::collect::{Collected, Wanted, collect};
use super::error::SignalError;
use super::features::Pixels;
use super::layout::{Files, Media, by_folders};
use super::lists::{LIST, by_list, find, is_list};
use super::published;
use super::tree::Tree;
use crate::data::error::DataError;
use crate::data::extraction::{Extraction, Picture};
use crate::data::limits::MAX_SIDE;
use crate::data::open::{Kind, Parts, Reading};

/// The most pixels of one picture.
const MAX_PIXELS: u64 = 1 << 25;
/// The most pixels that a byte of a file can stand for: a block of 64 takes two bits at the least, and
/// chroma may come at a fourth; a row of zeros deflates to a thousandth.
const PIXELS_OF_A_BYTE: u64 = 8 << 10;
/// The most memory of the PNG decoder beside the pixels.
const PNG_MEMORY: usize = 64 << 20;

/// The second bytes of two marks of JPEG.
const START_OF_PIXELS: u8 = 0xda;
const END_OF_PICTURE: u8 = 0xd9;

/// How [`crate::data::open`] knows this kind.
pub(in crate::data) const KIND: Kind = Kind {
    name: "pictures",
    looked_for: "JPEG or PNG files (CLASS/NAME, or train/CLASS/NAME and test/CLASS/NAME; in a folder, \
                 or in a .tar, .tar.gz or .tar.xz)",
    takes: Some("picture"),
    single: true,
    is_here: |path| Media::at(path) == Some(Media::Picture),
    open,
};

fn open(path: &Path, how: &Reading) -> Result<Parts, DataError> {
    let Some(tree) = Tree::at(path) else {
        return Err(DataError::NoSamples { what: format!("`{}`", path.display()) });
    };
    let asked = match how.extraction {
        Some(Extraction::Picture(settings)) => Some(settings),
        _ => None,
    };
    let wanted = Wanted {
        sample: |name| Media::of(name) == Some(Media::Picture) && !published::is_aside(name),
        list: |name| is_list(name) || published::is_list(name),
    };
    let fit = |file: &Path, bytes: &[u8]| {
        let settings = match asked {
            Some(settings) => settings,
            None => seen(file, bytes)?.shape(),
        };
        Ok((settings, Extraction::Picture(settings)))
    };
    let sample = |settings: &Picture, file: &Path, bytes: &[u8]| {
        let pixels = seen(file, bytes)?;
        let (found, expected) = (pixels.shape(), *settings);
        if asked.is_none() && found != expected {
            let file = file.to_path_buf();
            return Err(SignalError::PictureShape { file, found, expected }.into());
        }
        Ok(pixels.planes(settings))
    };
    let Collected { names, values, extraction, lists } =
        collect(&tree, &how.room, &wanted, fit, sample)?;
    let places = match find(&lists, LIST) {
        Some(list) => by_list(path, list, &names)?,
        None => match published::places(path, &lists, &names)? {
            Some(places) => places,
            None => by_folders(path, &names)?.into_iter().map(Some).collect(),
        },
    };
    let files = Files { names, places, values, shape: extraction.shape() };
    let (train, test) = files.parts(path)?;
    Ok(Parts { extraction: Some(extraction), ..Parts::plain(train, test) })
}

/// The pixels of a file.
fn seen(file: &Path, bytes: &[u8]) -> Result<Pixels, DataError> {
    let decoded = match bytes {
        [0xff, 0xd8, ..] => jpeg(bytes),
        [0x89, b'P', b'N', b'G', ..] => png(bytes),
        _ => Err("it starts like neither JPEG nor PNG".to_string()),
    };
    decoded.map_err(|why| SignalError::Picture { file: file.to_path_buf(), why }.into())
}

/// Holds a claimed size against the limits and the bytes that are there.
fn size(width: u64, height: u64, bytes: &[u8]) -> Result<(), String> {
    let (side, pixels) = (MAX_SIDE as u64, width.saturating_mul(height));
    if width == 0 || height == 0 || width > side || height > side || pixels > MAX_PIXELS {
        return Err(format!(
            "it claims {width} x {height} pixels; accepted are sides of 1 to {side} and {MAX_PIXELS} \
             pixels"
        ));
    }
    if pixels > (bytes.len() as u64).saturating_mul(PIXELS_OF_A_BYTE) {
        return Err(format!("it claims {width} x {height} pixels in {} bytes", bytes.len()));
    }
    Ok(())
}

fn jpeg(bytes: &[u8]) -> Result<Pixels, String> {
    // The decoder fills up with grey what ends early; both marks stand in no coded pixels.
    let last = |mark: u8| bytes.windows(2).rposition(|pair| pair == [0xff, mark]);
    if last(END_OF_PICTURE) <= last(START_OF_PIXELS) {
        return Err("it ends before its pixels do".to_string());
    }
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|fault| fault.to_string())?;
    let info = decoder.info().ok_or("it has no size")?;
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    size(width as u64, height as u64, bytes)?;
    let grey = info.components == 1;
    let (space, channels) = if grey { (ColorSpace::Luma, 1) } else { (ColorSpace::RGB, 3) };
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let bytes = decoder.decode().map_err(|fault| fault.to_string())?;
    whole(Pixels { channels, height, width, bytes })
}

fn png(bytes: &[u8]) -> Result<Pixels, String> {
    let limits = png::Limits { bytes: PNG_MEMORY };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let header = decoder.read_header_info().map_err(|fault| fault.to_string())?;
    let (width, height) = (u64::from(header.width), u64::from(header.height));
    size(width, height, bytes)?;
    let mut reader = decoder.read_info().map_err(|fault| fault.to_string())?;
    let (colour, _) = reader.output_color_type();
    // Bounded by `size`: at most four bytes a pixel.
    let mut all = vec![0; reader.output_buffer_size().ok_or("it has no size")?];
    reader.next_frame(&mut all).map_err(|fault| fault.to_string())?;
    reader.finish().map_err(|fault| fault.to_string())?;
    let (stored, channels) = match colour {
        png::ColorType::Grayscale => (1, 1),
        png::ColorType::GrayscaleAlpha => (2, 1),
        png::ColorType::Rgb => (3, 3),
        png::ColorType::Rgba => (4, 3),
        png::ColorType::Indexed => return Err("its palette was not resolved".to_string()),
    };
    if stored != channels {
        let opaque = all.chunks_exact(stored).flat_map(|pixel| &pixel[..channels]);
        all = opaque.copied().collect();
    }
    let (width, height) = (width as usize, height as usize);
    whole(Pixels { channels, height, width, bytes: all })
}

/// Holds that a decoder gave what its header said.
fn whole(pixels: Pixels) -> Result<Pixels, String> {
    let Pixels { channels, height, width, ref bytes } = pixels;
    if bytes.len() == channels * height * width {
        return Ok(pixels);
    }
    Err(format!("{} bytes came of {width} x {height} pixels", bytes.len()))
}
