//! Where the testbed keeps what outlives one run: built programs, and the registry by which a later run cleans up after a crashed one.

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The folder of the workspace's testbed, where the Go modules are.
pub(crate) fn sources() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The cache folder of the whole project, made when missing: `$XDG_CACHE_HOME/springtide` or `~/.cache/springtide`.
pub(crate) fn cache() -> Result<PathBuf> {
    let base = match (env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()), env::var_os("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => PathBuf::from(home).join(".cache"),
        (None, None) => env::temp_dir(),
    };
    made(base.join("springtide"))
}

/// The testbed's part of the cache.
pub(crate) fn testbed() -> Result<PathBuf> {
    made(cache()?.join("testbed"))
}

/// One folder for each thing that runs, named by its owner.
pub(crate) fn runs() -> Result<PathBuf> {
    made(testbed()?.join("runs"))
}

/// One file for each port that somebody has taken.
pub(crate) fn ports() -> Result<PathBuf> {
    made(testbed()?.join("ports"))
}

/// One file for each testbed that `cargo xtask testbed up` started.
pub(crate) fn named() -> Result<PathBuf> {
    made(testbed()?.join("named"))
}

fn made(folder: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}; set XDG_CACHE_HOME to a folder that can be written", folder.display()))?;
    Ok(folder)
}
