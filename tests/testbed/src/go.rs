//! Which Go builds the control plane: the machine's when it can, else a toolchain that an older Go of the machine fetches.
//!
//! Go 1.21 and later fetch the toolchain that a go.mod asks for by themselves. Older ones (Debian 12 has 1.19) do not, but can fetch the
//! same toolchain as the module that it is published as, from the same proxy and checked against the same checksum database.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{places, programs};

/// The toolchain that an older Go fetches; not older than the `go` line of the modules.
const TOOLCHAIN: &str = "1.26.8";

/// From this version on, Go fetches what it needs by itself.
const FETCHES_BY_ITSELF: (u32, u32) = (1, 21);

/// The path of a Go that can build the modules.
pub(crate) fn find_or_fetch() -> Result<PathBuf> {
    let installed = PathBuf::from("go");
    let Some(version) = version_of(&installed) else {
        bail!(
            "Go is missing. `cargo xtask setup` installs it when run as root; else install Go of any version (Debian: `apt-get install golang-go`) and run `cargo xtask setup` again"
        )
    };
    if version >= FETCHES_BY_ITSELF { Ok(installed) } else { fetch(&installed) }
}

fn version_of(go: &Path) -> Option<(u32, u32)> {
    let output = Command::new(go).arg("version").env("GOTOOLCHAIN", "local").output().ok().filter(|output| output.status.success())?;
    // "go version go1.26.8 linux/amd64"
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.split_whitespace().nth(2)?.strip_prefix("go")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn fetch(older: &Path) -> Result<PathBuf> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("no Go toolchain is known here for {other}; install Go {TOOLCHAIN} or later"),
    };
    let module = format!("golang.org/toolchain@v0.0.1-go{TOOLCHAIN}.linux-{architecture}");
    // A module cache of its own: the marks below have no place in the person's.
    let cache = places::cache()?.join("go");
    let folder = cache.join(&module);
    let go = folder.join("bin/go");
    if version_of(&go).is_some() {
        return Ok(go);
    }
    eprintln!("testbed: fetching Go {TOOLCHAIN} into {}", folder.display());
    let mut command = Command::new(older);
    command.args(["mod", "download", "-modcacherw", &module]).env("GOMODCACHE", &cache).current_dir(places::cache()?);
    programs::run_go(command).with_context(|| format!("cannot fetch Go {TOOLCHAIN}; see that Go's module proxy can be reached"))?;
    // Modules carry no file modes, so nothing in it may be executed until told otherwise.
    for programs in [folder.join("bin"), folder.join(format!("pkg/tool/linux_{architecture}"))] {
        for entry in fs::read_dir(&programs).with_context(|| format!("cannot read {}", programs.display()))? {
            let path = entry?.path();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .with_context(|| format!("cannot make {} executable", path.display()))?;
        }
    }
    Ok(go)
}
