//! One run: a folder for a plane's or a broker's data and logs, and the list of processes that have to end with it.
//!
//! The folder's name says who owns it. When the owner is gone and the folder is not, the next run ends what is left and deletes it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::owner::Owner;
use crate::{cgroup, places, port};

/// The list of a run's processes, in its folder.
const PARTS: &str = "parts";

/// Keeps the data and logs of each run when set, for a person who looks for the reason of a failure.
const KEEP: &str = "SPRINGTIDE_TESTBED_KEEP";

/// A run's folder; deleted when dropped. Its parts must have stopped before.
#[derive(Debug)]
pub(crate) struct Run {
    folder: PathBuf,
}

impl Run {
    /// Sweeps what crashed runs left, then makes a folder for a new one.
    pub(crate) fn open(kind: &str) -> Result<Self> {
        static OPENED: AtomicU32 = AtomicU32::new(0);
        sweep()?;
        let owner = Owner::this_process()?;
        let folder = places::runs()?.join(format!("{owner}-{}-{kind}", OPENED.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        Ok(Self { folder })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes a folder inside this run's.
    pub(crate) fn subfolder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        Ok(folder)
    }

    /// Writes a file that a part reads.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// A log file, continued when it is there already.
    pub(crate) fn log(&self, name: &str) -> Result<(PathBuf, File)> {
        let path = self.folder.join(format!("{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok((path, file))
    }

    /// Notes a process that has to end with this run.
    pub(crate) fn note(&self, part: u32) -> Result<()> {
        // A process that has ended already needs no note.
        let Some(part) = Owner::of(part) else { return Ok(()) };
        let path = self.folder.join(PARTS);
        let mut list =
            OpenOptions::new().create(true).append(true).open(&path).with_context(|| format!("cannot write {}", path.display()))?;
        writeln!(list, "{part}").with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if std::env::var_os(KEEP).is_none() {
            // What stays is swept by the next run.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Ends the processes and deletes the folders of runs whose owner is gone.
pub fn sweep() -> Result<()> {
    let runs = places::runs()?;
    for entry in fs::read_dir(&runs).with_context(|| format!("cannot read {}", runs.display()))?.flatten() {
        let Some(owner) = entry.file_name().to_str().and_then(|name| name.parse::<Owner>().ok()) else { continue };
        if owner.is_alive() {
            continue;
        }
        for part in fs::read_to_string(entry.path().join(PARTS)).unwrap_or_default().lines() {
            // The owner may have died while it wrote the last line.
            let Ok(part) = part.parse() else { continue };
            end_group(part);
        }
        cgroup::remove(&entry.path());
        if std::env::var_os(KEEP).is_none() {
            // Another process may sweep at the same time, or a part may still write: then the next sweep deletes it.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    port::sweep()
}

fn end_group(leader: Owner) {
    let pid = i32::try_from(leader.pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid.filter(|_| leader.is_alive()) {
        // It may end by itself in between.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}
