//! Programs of a Rust workspace built to run in an image that holds nothing else.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Builds the packages' programs with the libc in them, in cargo's usual folder; answers their paths in the order of the packages.
///
/// They are built for the machine's target by its name: then cargo keeps them apart from all other builds, and the flag does not reach programs that run
/// during the build. The profile is the one for tests; what is measured of an image is measured elsewhere.
pub fn static_programs(workspace: &Path, packages: &[&str]) -> Result<Vec<PathBuf>> {
    let target = host()?;
    let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace('-', "_"));
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--bins", "--message-format=json-render-diagnostics", "--target", &target]);
    // An image is copied many times; what a debugger reads in it is most of its size.
    command.args(["--config", "profile.dev.strip=\"debuginfo\""]);
    command.args(packages.iter().flat_map(|package| ["--package", package])).current_dir(workspace);
    command.env(variable, "-C target-feature=+crt-static").env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let output = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cannot build {} as static programs ({}); what cargo printed says why", packages.join(" and "), output.status);
    }
    let messages: Vec<Value> =
        String::from_utf8(output.stdout)?.lines().map(serde_json::from_str).collect::<Result<_, _>>().context("cargo prints no JSON")?;
    packages
        .iter()
        .map(|package| {
            let path =
                messages.iter().find(|message| message["target"]["name"] == **package).and_then(|message| message["executable"].as_str());
            path.map(PathBuf::from).with_context(|| format!("the package {package} has no program of its name"))
        })
        .collect()
}

/// The name of the target that this machine is.
fn host() -> Result<String> {
    let output =
        Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8(output.stdout)?;
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned).context("rustc does not say its host")
}
