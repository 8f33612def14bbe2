//! The cgroups of a run's containers. The kernel keeps one whose processes are gone until somebody removes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// A process leaves its cgroup a moment after it has ended, and nothing tells when.
const EMPTY_WITHIN: Duration = Duration::from_secs(2);
const TRY_EVERY: Duration = Duration::from_millis(10);

/// The name of the cgroup of a run with this folder.
pub(crate) fn name(run: &Path) -> String {
    format!("springtide-testbed-{}", run.file_name().unwrap_or_default().to_string_lossy())
}

/// Removes the run's cgroup with all below, in each hierarchy where there is one. Its processes must have ended.
pub(crate) fn remove(run: &Path) {
    let (root, name) = (Path::new("/sys/fs/cgroup"), name(run));
    // Version 1 has a folder for each hierarchy, version 2 is one.
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut left: Vec<PathBuf> = hierarchies.chain([root.to_owned()]).map(|hierarchy| hierarchy.join(&name)).collect();
    let deadline = Instant::now() + EMPTY_WITHIN;
    loop {
        left.iter().for_each(|folder| remove_below(folder));
        left.retain(|folder| folder.exists());
        // What is left after that costs a few hundred bytes.
        if left.is_empty() || Instant::now() > deadline {
            return;
        }
        thread::sleep(TRY_EVERY);
    }
}

fn remove_below(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
        remove_below(&entry.path());
    }
    // It may be busy, or not there.
    let _ = fs::remove_dir(folder);
}
