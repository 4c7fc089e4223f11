//! Protobuf's wire: fields of a message read in place, and written.
//!
//! A hundred lines instead of the crate prost. That decodes a whole model into owned values before
//! anything can be checked, gives a two-byte message some hundred bytes of memory as often as a file
//! cares to repeat it, and its errors do not say where. This reader borrows: it allocates nothing,
//! and names the offset.

use crate::exchange::error::ExchangeFault;

/// The value of a field, by how the wire spells it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wire<'a> {
    /// A number of one to ten bytes.
    Varint(u64),
    /// Eight bytes.
    Eight([u8; 8]),
    /// A text, bytes, a message, or packed numbers.
    Bytes(Message<'a>),
    /// Four bytes.
    Four([u8; 4]),
}

/// A field: its number, its value, and where in the file its value begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub number: u32,
    pub wire: Wire<'a>,
    pub offset: u64,
}

/// Bytes of a message that was not looked into yet, and where in the file they begin.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Message<'a> {
    pub bytes: &'a [u8],
    pub offset: u64,
}

impl<'a> Message<'a> {
    /// The file as a message.
    pub(super) fn whole(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Its fields, in order.
    pub(super) fn fields(self) -> Fields<'a> {
        Fields { rest: self }
    }

    /// Its bytes as a text.
    pub(super) fn text(self) -> Result<&'a str, ExchangeFault> {
        let what = "a text is not UTF-8";
        std::str::from_utf8(self.bytes)
            .map_err(|_| ExchangeFault::Wire { offset: self.offset, what })
    }

    /// The next number of packed ones; `None` at the end.
    pub(super) fn varint(&mut self) -> Result<Option<u64>, ExchangeFault> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let mut value = 0u64;
        for (index, &byte) in self.bytes.iter().enumerate().take(10) {
            // The tenth byte has room for one bit.
            if index == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.skip(index + 1);
                return Ok(Some(value));
            }
        }
        Err(ExchangeFault::Wire { offset: self.offset, what: "a number has no end" })
    }

    fn skip(&mut self, bytes: usize) {
        self.bytes = &self.bytes[bytes..];
        self.offset += bytes as u64;
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ExchangeFault> {
        let what = "a number is cut short";
        let found = self.bytes.first_chunk::<N>();
        let found = *found.ok_or(ExchangeFault::Wire { offset: self.offset, what })?;
        self.skip(N);
        Ok(found)
    }

    fn field(&mut self) -> Result<Option<Field<'a>>, ExchangeFault> {
        let start = self.offset;
        let wrong = |what| ExchangeFault::Wire { offset: start, what };
        let Some(tag) = self.varint()? else { return Ok(None) };
        let number = u32::try_from(tag >> 3).map_err(|_| wrong("a field number is too large"))?;
        let cut = || wrong("a field is cut short");
        let mut offset = self.offset;
        let wire = match tag & 7 {
            0 => Wire::Varint(self.varint()?.ok_or_else(cut)?),
            1 => Wire::Eight(self.array()?),
            2 => {
                let claimed = self.varint()?.ok_or_else(cut)?;
                offset = self.offset;
                let len = usize::try_from(claimed).ok().filter(|len| *len <= self.bytes.len());
                let len = len.ok_or_else(|| wrong("a field claims more bytes than there are"))?;
                let bytes = &self.bytes[..len];
                self.skip(len);
                Wire::Bytes(Message { bytes, offset })
            }
            5 => Wire::Four(self.array()?),
            _ => return Err(wrong("a field is of a kind that protobuf has not")),
        };
        Ok(Some(Field { number, wire, offset }))
    }
}

/// The fields of a message.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    rest: Message<'a>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, ExchangeFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.rest.field();
        if found.is_err() {
            // After a fault nothing that follows can be told apart.
            self.rest.bytes = &[];
        }
        found.transpose()
    }
}

impl<'a> Field<'a> {
    /// Its value as bytes.
    pub(super) fn bytes(self) -> Result<Message<'a>, ExchangeFault> {
        match self.wire {
            Wire::Bytes(message) => Ok(message),
            _ => Err(self.wrong("a number stands where bytes are expected")),
        }
    }

    /// Its value as a text.
    pub(super) fn text(self) -> Result<&'a str, ExchangeFault> {
        self.bytes()?.text()
    }

    /// Its value as a whole number.
    pub(super) fn int(self) -> Result<i64, ExchangeFault> {
        match self.wire {
            // Protobuf spells a negative number as the 64 bits of its two's complement.
            Wire::Varint(value) => Ok(value as i64),
            _ => Err(self.wrong("something else stands where a whole number is expected")),
        }
    }

    /// Its value as a number of single precision.
    pub(super) fn float(self) -> Result<f32, ExchangeFault> {
        match self.wire {
            Wire::Four(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err(self.wrong("something else stands where a number is expected")),
        }
    }

    /// Adds its whole numbers, one or packed, to `list`, which may become `most` long.
    pub(super) fn ints(self, list: &mut Vec<i64>, most: usize) -> Result<(), ExchangeFault> {
        let mut packed = match self.wire {
            Wire::Bytes(message) => message,
            _ => return push(list, self.int()?, most, self.offset),
        };
        while let Some(value) = packed.varint()? {
            push(list, value as i64, most, self.offset)?;
        }
        Ok(())
    }

    fn wrong(self, what: &'static str) -> ExchangeFault {
        ExchangeFault::Wire { offset: self.offset, what }
    }
}

/// Adds `item` to a list of at most `most`.
pub(super) fn push<T>(
    list: &mut Vec<T>,
    item: T,
    most: usize,
    offset: u64,
) -> Result<(), ExchangeFault> {
    if list.len() == most {
        return Err(ExchangeFault::Wire {
            offset,
            what: "a list is longer than any network needs",
        });
    }
    list.push(item);
    Ok(())
}

/// A message on its way into a file. Fields stand in the order in which they are added.
#[derive(Clone, Debug, Default)]
pub(super) struct Writer {
    pub bytes: Vec<u8>,
}

impl Writer {
    /// Adds a whole number.
    pub(super) fn int(mut self, number: u32, value: i64) -> Self {
        self.tag(number, 0);
        self.varint(value as u64);
        self
    }

    /// Adds a number of single precision.
    pub(super) fn float(mut self, number: u32, value: f32) -> Self {
        self.tag(number, 5);
        self.bytes.extend(value.to_le_bytes());
        self
    }

    /// Adds bytes, a text or a message.
    pub(super) fn put(mut self, number: u32, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.tag(number, 2);
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value);
        self
    }

    /// Adds each of `values` as a field of its own.
    pub(super) fn each(self, number: u32, values: &[i64]) -> Self {
        values.iter().fold(self, |writer, &value| writer.int(number, value))
    }

    fn tag(&mut self, number: u32, kind: u32) {
        self.varint(u64::from(number << 3 | kind));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

impl AsRef<[u8]> for Writer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let inner = Writer::default().put(3, "text").float(4, 0.5);
        let message = Writer::default().int(1, -2).each(2, &[0, 300]).put(16, &inner);
        let fields: Vec<_> =
            Message::whole(&message.bytes).fields().map(|field| field.unwrap()).collect();
        assert_eq!(fields.iter().map(|f| f.number).collect::<Vec<_>>(), [1, 2, 2, 16]);
        assert_eq!((fields[0].int().unwrap(), fields[2].int().unwrap()), (-2, 300));
        let inner = fields[3].bytes().unwrap();
        assert_eq!(&message.bytes[inner.offset as usize..], inner.bytes);
        let inner: Vec<_> = inner.fields().map(|field| field.unwrap()).collect();
        assert_eq!((inner[0].text().unwrap(), inner[1].float().unwrap()), ("text", 0.5));
    }

    #[test]
    fn a_cut_or_endless_field_is_refused_with_its_place() {
        let whole = Writer::default().int(1, 7).put(2, "abc").bytes;
        for len in [1, 3, 4, 6] {
            let last = Message::whole(&whole[..len]).fields().last().unwrap();
            assert!(matches!(last, Err(ExchangeFault::Wire { .. })), "{len} bytes");
        }
        let endless = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        let found = Message::whole(&endless).fields().next().unwrap();
        assert!(matches!(found, Err(ExchangeFault::Wire { offset: 1, .. })), "{found:?}");
        let lying = [0x08, 0x01, 0x12, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
        let found = Message::whole(&lying).fields().nth(1).unwrap();
        assert!(matches!(found, Err(ExchangeFault::Wire { offset: 2, .. })), "{found:?}");
    }
}
