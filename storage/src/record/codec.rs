//! The few ways in which a field lies in bytes.
//!
//! Every value has one encoding, so what was read back and written again is the same bytes. Reading
//! checks every length against what is there before it takes or sets aside anything.

use std::time::Duration;

use bytes::{BufMut, BytesMut};

use crate::id::{Seq, Timestamp};
use crate::model::Text;

/// What is wrong with bytes that should be a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage(pub(super) &'static str);

const SHORT: Damage = Damage("the record ends early");

/// Appends the bytes of a record.
#[derive(Debug)]
pub struct Writer<'a> {
    pub(super) bytes: &'a mut BytesMut,
}

impl Writer<'_> {
    pub(super) fn u8(&mut self, value: u8) {
        self.bytes.put_u8(value);
    }

    pub(super) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.put_u8((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        self.bytes.put_u8(value as u8);
    }

    pub(super) fn id(&mut self, id: &[u8; 16]) {
        self.bytes.extend_from_slice(id);
    }

    pub(super) fn time(&mut self, time: Timestamp) {
        self.bytes.extend_from_slice(&time.0.to_be_bytes());
    }

    pub(super) fn blob(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn duration(&mut self, duration: Duration) {
        self.varint(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    }

    pub(super) fn seq(&mut self, seq: Seq) {
        self.varint(seq.0);
    }

    pub(super) fn text(&mut self, text: &Text) {
        self.blob(text.as_str().as_bytes());
    }

    /// A flag, and what it tells of.
    pub(super) fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.u8(value.is_some().into());
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// How many, and each of them.
    pub(super) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        write: impl Fn(&mut Self, T),
    ) {
        let items = items.into_iter();
        self.varint(items.len() as u64);
        items.for_each(|item| write(self, item));
    }
}

/// Takes a record's bytes apart.
#[derive(Debug)]
pub struct Reader<'a> {
    pub(super) rest: &'a [u8],
    /// Of the record that the fields are of, or lie in.
    pub(super) version: u8,
}

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Damage> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        self.take(N)?.try_into().map_err(|_| SHORT)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Damage> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn flag(&mut self) -> Result<bool, Damage> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Damage("a flag is neither 0 nor 1")),
        }
    }

    pub(super) fn varint(&mut self) -> Result<u64, Damage> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                // One value, one encoding: a padded varint is not something that we wrote.
                let padded = byte == 0 && shift > 0;
                return if padded { Err(Damage("a number is padded")) } else { Ok(value) };
            }
        }
        Err(Damage("a number is over 64 bits"))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Damage> {
        u32::try_from(self.varint()?).map_err(|_| Damage("a number is over 32 bits"))
    }

    pub(super) fn seq(&mut self) -> Result<Seq, Damage> {
        self.varint().map(Seq)
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, Damage> {
        self.array().map(u64::from_be_bytes).map(Timestamp)
    }

    pub(super) fn duration(&mut self) -> Result<Duration, Damage> {
        self.varint().map(Duration::from_millis)
    }

    pub(super) fn blob(&mut self) -> Result<&'a [u8], Damage> {
        let length = usize::try_from(self.varint()?).map_err(|_| SHORT)?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<Text, Damage> {
        let text = str::from_utf8(self.blob()?).map_err(|_| Damage("text is not UTF-8"))?;
        Ok(Text::new(text))
    }

    /// A flag, and what it tells of.
    pub(super) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Damage>,
    ) -> Result<Option<T>, Damage> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    /// How many of at least `item_bytes` each, and each of them.
    pub(super) fn list<T>(
        &mut self,
        item_bytes: usize,
        read: impl Fn(&mut Self) -> Result<T, Damage>,
    ) -> Result<Vec<T>, Damage> {
        let count = self.count(item_bytes)?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    /// A number of items of at least `item_bytes` each, all of which can still be there.
    pub(super) fn count(&mut self, item_bytes: usize) -> Result<usize, Damage> {
        let count = usize::try_from(self.varint()?).map_err(|_| SHORT)?;
        if count > self.rest.len() / item_bytes { Err(SHORT) } else { Ok(count) }
    }

    pub(super) fn end(&self) -> Result<(), Damage> {
        if self.rest.is_empty() { Ok(()) } else { Err(Damage("bytes follow the record")) }
    }
}
