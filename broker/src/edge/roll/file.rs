//! The file of the roll: a head of 256 bytes, then a slot of 32 bytes for each connection.
//!
//! The head names the layout, and the addresses at which clients reached the broker: a reset must
//! come from the one that its client knows. Nothing is synced: what a loss of power leaves is a mix
//! of old and new slots, each whole, and an old one does no harm. Only the broker's user may read
//! it, and no more of it is read than the limit of connections.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use super::entry::{self, BLANK, Sealed, mapped};

/// Its name in the data folder.
const NAME: &str = "roll";
const MARK: &[u8; 16] = b"wardline roll 1\n";
const HEAD: usize = 256;
/// Addresses that the head has room for, beside the mark.
const LOCALS_MAX: usize = HEAD / 16 - 1;
const MODE: u32 = 0o600;

/// The number of a slot.
pub(super) type Slot = u32;

/// The open file.
pub(super) struct RollFile(File);

/// What the broker before left.
#[derive(Default)]
pub(super) struct Left {
    pub(super) locals: Locals,
    /// The slots that are not blank.
    pub(super) slots: Vec<(Slot, Sealed)>,
}

/// What the file does not have yet.
#[derive(Default)]
pub(super) struct Unwritten {
    pub(super) slots: BTreeMap<Slot, Sealed>,
    /// The addresses, if there are new ones.
    pub(super) locals: Option<Locals>,
}

/// The addresses at which clients reached the broker, by their number; it is their place, from 1.
#[derive(Clone, Default)]
pub(super) struct Locals(Vec<Ipv6Addr>);

impl Locals {
    /// The number of an address, and whether it is new; 0: there is no room for it.
    pub(super) fn number(&mut self, ip: IpAddr) -> (u8, bool) {
        let ip = mapped(ip);
        let place = self.0.iter().position(|known| *known == ip);
        let is_new = place.is_none() && self.0.len() < LOCALS_MAX;
        if is_new {
            self.0.push(ip);
        }
        let number = place.or(is_new.then(|| self.0.len() - 1)).map_or(0, |place| place + 1);
        (u8::try_from(number).unwrap_or(0), is_new)
    }

    /// The address with a number.
    pub(super) fn get(&self, number: u8) -> Option<Ipv6Addr> {
        self.0.get(usize::from(number).checked_sub(1)?).copied()
    }
}

impl RollFile {
    /// Opens it in the data folder, made if it is not there, and reads what it has.
    ///
    /// # Errors
    /// [`io::Error`] if it cannot be made, read or kept from others.
    pub(super) fn open(folder: &Path, entries_max: usize) -> io::Result<(Self, Left)> {
        let path = folder.join(NAME);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(MODE).open(path)?;
        file.set_permissions(Permissions::from_mode(MODE))?;
        let bytes_max = (HEAD + entries_max * entry::BYTES) as u64;
        let mut bytes = Vec::new();
        (&file).take(bytes_max).read_to_end(&mut bytes)?;
        let left = read(&bytes).unwrap_or_default();
        // Of another layout, of nothing, or of more than may be.
        let keeps = if left.slots.is_empty() { 0 } else { bytes.len() as u64 };
        file.set_len(keeps)?;
        let file = Self(file);
        if keeps == 0 {
            file.write_head(&Locals::default())?;
        }
        Ok((file, left))
    }

    /// Writes what it does not have yet; syncs nothing.
    ///
    /// # Errors
    /// [`io::Error`] if something could not be written; the rest was.
    pub(super) fn write(&self, unwritten: &Unwritten) -> io::Result<()> {
        // An entry says little without the address that it names.
        let mut result = unwritten.locals.as_ref().map_or(Ok(()), |locals| self.write_head(locals));
        for (&slot, sealed) in &unwritten.slots {
            let at = HEAD as u64 + u64::from(slot) * entry::BYTES as u64;
            result = result.and(self.0.write_all_at(sealed, at));
        }
        result
    }

    /// Leaves nothing in it.
    ///
    /// # Errors
    /// [`io::Error`] if it cannot be shortened.
    pub(super) fn empty(&self) -> io::Result<()> {
        self.0.set_len(0)
    }

    fn write_head(&self, locals: &Locals) -> io::Result<()> {
        let mut head = [0; HEAD];
        head[..MARK.len()].copy_from_slice(MARK);
        for (place, ip) in head[MARK.len()..].chunks_exact_mut(16).zip(&locals.0) {
            place.copy_from_slice(&ip.octets());
        }
        self.0.write_all_at(&head, 0)
    }
}

/// What the bytes of a file say; `None`: they are of another layout.
fn read(bytes: &[u8]) -> Option<Left> {
    let (head, slots) = bytes.split_at_checked(HEAD)?;
    let locals = head.strip_prefix(MARK)?.chunks_exact(16).map_while(|octets| {
        let octets: [u8; 16] = octets.try_into().ok()?;
        (octets != [0; 16]).then(|| Ipv6Addr::from(octets))
    });
    let slots = slots.chunks_exact(entry::BYTES).zip(0..).filter_map(|(bytes, slot)| {
        let sealed: Sealed = bytes.try_into().ok()?;
        (sealed != BLANK).then_some((slot, sealed))
    });
    Some(Left { locals: Locals(locals.collect()), slots: slots.collect() })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn it_is_nobody_else_s_and_keeps_what_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(NAME);
        let (file, left) = RollFile::open(folder.path(), 4).expect("made");
        assert!(left.slots.is_empty());
        assert_eq!(mode(&path), MODE);
        let mut locals = Locals::default();
        assert_eq!(locals.number([127, 0, 0, 2].into()), (1, true));
        let slots = BTreeMap::from([(2, [7; 32])]);
        file.write(&Unwritten { slots, locals: Some(locals) }).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("made readable");

        let (file, left) = RollFile::open(folder.path(), 4).expect("opened");
        assert_eq!(mode(&path), MODE);
        assert_eq!(left.slots, [(2, [7; 32])]);
        assert_eq!(left.locals.get(1).map(|ip| ip.to_canonical()), Some([127, 0, 0, 2].into()));
        assert_eq!((left.locals.get(0), left.locals.get(2)), (None, None));
        file.empty().expect("emptied");
        assert_eq!(fs::read(&path).expect("reads"), b"");
    }

    #[test]
    fn what_is_of_another_layout_or_too_long_is_cut_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(NAME);
        for (bytes, left_over) in [
            (vec![9; 4096], 0),
            ([MARK.to_vec(), vec![0; HEAD - 16], vec![9; 32 * 100]].concat(), 4),
            ([MARK.to_vec(), vec![0; HEAD - 16], vec![9; 31]].concat(), 0),
            (MARK.to_vec(), 0),
        ] {
            fs::write(&path, &bytes).expect("writes");
            let (_, left) = RollFile::open(folder.path(), 4).expect("opened");
            assert_eq!(left.slots.len(), left_over);
            let length = fs::metadata(&path).expect("it is there").len();
            assert_eq!(length, (HEAD + 32 * left_over) as u64);
        }
    }

    #[test]
    fn so_many_addresses_have_numbers_and_no_more() {
        let mut locals = Locals::default();
        for last in 1..=15 {
            assert_eq!(locals.number([10, 0, 0, last].into()), (last, true));
            assert_eq!(locals.number([10, 0, 0, last].into()), (last, false));
        }
        assert_eq!(locals.number([10, 0, 0, 16].into()), (0, false));
    }
}
