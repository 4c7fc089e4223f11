//! Small pictures inside the page, as PNG.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::text::escape;

/// A strip of small pictures.
#[derive(Clone, Debug, Default)]
pub struct Pictures {
    /// What the pictures are.
    pub title: String,
    /// Whose they are, how they were chosen; may be empty.
    pub note: String,
    /// The pictures.
    pub pictures: Vec<Picture>,
}

/// One picture.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// The words under it; may be empty.
    pub caption: String,
    /// Channels, height, width. Three channels are red, green and blue; of any other number the
    /// first is shown in grey.
    pub shape: [usize; 3],
    /// Values, row-major `[C, H, W]`, as a data set holds them.
    pub pixels: Vec<u8>,
}

impl Pictures {
    pub(super) fn html(&self) -> String {
        let mut html = String::from("<div class=\"pictures\">");
        for picture in &self.pictures {
            let caption = escape(&picture.caption);
            let _ = write!(
                html,
                "<figure><img alt=\"{caption}\" src=\"{}\">\
                 <figcaption>{caption}</figcaption></figure>",
                picture.source()
            );
        }
        html + "</div>"
    }
}

impl Picture {
    /// The picture as an `img` takes it, inside the page.
    pub(super) fn source(&self) -> String {
        format!("data:image/png;base64,{}", base64(&self.png()))
    }

    /// The picture as a PNG file of 8 bits a channel.
    ///
    /// # Panics
    /// If `pixels` does not have as many values as `shape` says, or the picture has no pixel.
    pub fn png(&self) -> Vec<u8> {
        let [channels, height, width] = self.shape;
        let (area, total) = (height * width, self.shape.iter().product::<usize>());
        assert_eq!(self.pixels.len(), total, "a picture of shape {:?}", self.shape);
        assert!(total > 0, "a picture has at least one pixel");
        let (planes, colour) = if channels == 3 { (3, 2) } else { (1, 0) };
        let mut raw = Vec::with_capacity(height * (1 + width * planes));
        for row in 0..height {
            raw.push(0); // no filter
            for at in row * width..(row + 1) * width {
                raw.extend((0..planes).map(|plane| self.pixels[plane * area + at]));
            }
        }
        let mut head = Vec::with_capacity(13);
        // A side of 2^32 pixels cannot come about: its values would not fit in memory.
        head.extend((width as u32).to_be_bytes());
        head.extend((height as u32).to_be_bytes());
        head.extend([8, colour, 0, 0, 0]);
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        chunk(&mut file, b"IHDR", &head);
        chunk(&mut file, b"IDAT", &deflate(&raw));
        chunk(&mut file, b"IEND", &[]);
        file
    }
}

fn deflate(raw: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    // A `Vec` takes all that is written to it.
    encoder.write_all(raw).and_then(|()| encoder.finish()).unwrap_or_default()
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    file.extend((data.len() as u32).to_be_bytes());
    let from = file.len();
    file.extend(kind);
    file.extend(data);
    let mut check = flate2::Crc::new();
    check.update(&file[from..]);
    file.extend(check.sum().to_be_bytes());
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word =
            (0..3).fold(0u32, |word, at| word << 8 | u32::from(*three.get(at).unwrap_or(&0)));
        for digit in 0..4 {
            let value = (word >> (18 - 6 * digit)) as usize & 63;
            out.push(if digit > three.len() { '=' } else { DIGITS[value].into() });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        // RFC 4648, section 10.
        let all = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|s| base64(s.as_bytes()));
        assert_eq!(all, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }

    #[test]
    fn a_png_holds_the_rows_it_was_given() {
        let pixels = vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        let png = Picture { caption: String::new(), shape: [3, 2, 2], pixels }.png();
        assert_eq!(&png[12..16], b"IHDR");
        // CRC of the chunk that every PNG ends with, from the PNG specification.
        assert_eq!(&png[png.len() - 8..], b"IEND\xae\x42\x60\x82");
        let at = png.windows(4).position(|four| four == b"IDAT").unwrap() + 4;
        let mut raw = Vec::new();
        let mut inflate = flate2::read::ZlibDecoder::new(&png[at..]);
        std::io::Read::read_to_end(&mut inflate, &mut raw).unwrap();
        assert_eq!(raw, [0, 1, 5, 9, 2, 6, 10, 0, 3, 7, 11, 4, 8, 12]);
    }
}
