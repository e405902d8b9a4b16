//! A file system of a trial's own: ext4 on a loop device, over a file.
//!
//! It can lose its power ([`Volume::shut_down`]): from then on nothing reaches the device, not even
//! the journal's end, and every read and write of it fails with EIO. What was not synced is gone
//! when it is mounted again. Owns the mount: it is undone when this is dropped, and the loop device
//! goes with the mount. Needs root. Linux has the same call for this in every file system that its
//! testers use (`EXT4_IOC_SHUTDOWN`); perl, which every Debian has, makes it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::programme::Impossible;

/// The ioctl, and its flag "without writing the journal out" (`include/uapi/linux/ext4.h`).
const SHUT_DOWN: &str =
    "open(my $f, '<', $ARGV[0]) or die $!; my $how = pack('L', 2); ioctl($f, 0x8004587D, $how) or die $!;";
/// A process that was killed may hold the mount for a moment.
const UNMOUNT_ATTEMPTS: u32 = 200;
const UNMOUNT_PAUSE: Duration = Duration::from_millis(10);

/// See the module's documentation.
pub(crate) struct Volume {
    image: PathBuf,
    mounted_at: PathBuf,
    is_mounted: bool,
    /// Whether the image stays.
    is_kept: bool,
}

impl Volume {
    /// Makes one of this size, and mounts it at a folder of this name beside its image.
    pub(crate) fn make(folder: &Path, name: &str, bytes: u64) -> anyhow::Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!(Impossible("mounting a file system needs root".into()));
        }
        let (image, mounted_at) = (folder.join(format!("{name}.img")), folder.join(name));
        undo_mount(&mounted_at);
        fs::create_dir_all(&mounted_at).with_context(|| format!("cannot make {}", mounted_at.display()))?;
        let file = File::create(&image).with_context(|| format!("cannot write {}", image.display()))?;
        file.set_len(bytes).context("cannot make the image")?;
        let eager = "lazy_itable_init=0,lazy_journal_init=0";
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0", "-E", eager]).arg(&image))?;
        let mut volume = Self { image, mounted_at, is_mounted: false, is_kept: false };
        // A container may be root and have neither loop devices nor the right to mount.
        volume.mount().map_err(|error| Impossible(format!("{error:#}")))?;
        Ok(volume)
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.mounted_at
    }

    /// Takes the power away.
    pub(crate) fn shut_down(&self) -> anyhow::Result<()> {
        run(Command::new("perl").args(["-e", SHUT_DOWN]).arg(&self.mounted_at))
    }

    /// Unmounts and mounts again, as after a loss of power: the file system's journal is replayed.
    pub(crate) fn power_up(&mut self) -> anyhow::Result<()> {
        self.unmount()?;
        self.mount()
    }

    /// Writes out everything that waits.
    pub(crate) fn sync(&self) -> anyhow::Result<()> {
        run(Command::new("sync").arg("-f").arg(&self.mounted_at))
    }

    /// Leaves the image where it is, for people to mount.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }

    fn mount(&mut self) -> anyhow::Result<()> {
        run(Command::new("mount").args(["-t", "ext4", "-o", "loop"]).arg(&self.image).arg(&self.mounted_at))?;
        self.is_mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> anyhow::Result<()> {
        for _ in 0..UNMOUNT_ATTEMPTS {
            if Command::new("umount").arg(&self.mounted_at).output().is_ok_and(|done| done.status.success()) {
                self.is_mounted = false;
                return Ok(());
            }
            sleep(UNMOUNT_PAUSE);
        }
        bail!("{} cannot be unmounted", self.mounted_at.display())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.is_mounted && self.unmount().is_err() {
            undo_mount(&self.mounted_at);
        }
        if !self.is_kept {
            // Left behind it is only a file, and the next trial makes it anew.
            let _ = fs::remove_file(&self.image);
        }
    }
}

/// Takes away what an earlier trial left mounted; the kernel finishes it when nobody uses it any
/// more.
fn undo_mount(mounted_at: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let is_there = |line: &&str| line.split(' ').nth(1).is_some_and(|point| Path::new(point) == mounted_at);
    for _ in mounts.lines().filter(is_there) {
        let _ = Command::new("umount").arg("-l").arg(mounted_at).output();
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.output().with_context(|| format!("cannot run {name}"))?;
    ensure!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(())
}
