//! `cargo xtask setup`: everything that tests need, so that `cargo xtask test` runs on a fresh clone of a fresh machine.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{has_program, must_succeed};
use crate::{Outcome, testbed};

/// A Debian package, the program by which one sees that it is there (in whatever way it came), and what it is for.
struct Package {
    name: &'static str,
    program: &'static str,
    reason: &'static str,
}

const PACKAGES: [Package; 6] = [
    Package { name: "util-linux", program: "setpriv", reason: "ends the parts of a testbed with their test" },
    Package { name: "golang-go", program: "go", reason: "builds the control plane; an old version fetches the one that is needed" },
    Package { name: "rabbitmq-server", program: "rabbitmq-server", reason: "a broker to test against" },
    Package { name: "erlang-base", program: "epmd", reason: "RabbitMQ's port mapper" },
    Package { name: "chromium", program: "chromium", reason: "opens the page, as a person's browser does" },
    Package { name: "chromium-driver", program: "chromedriver", reason: "reads the page for a test" },
];

pub(crate) fn run() -> Result<Outcome> {
    let missing: Vec<&Package> = PACKAGES.iter().filter(|package| !has_program(package.program)).collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    testbed::program(&["setup"]).and_then(|mut command| must_succeed(&mut command))?;
    Ok(Outcome::Good)
}

fn install(missing: &[&Package]) -> Result<()> {
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    for package in missing {
        eprintln!("setup: {} is missing ({}): {}", package.program, package.name, package.reason);
    }
    if !has_program("apt-get") || !is_root()? {
        bail!(
            "install these Debian packages, or the same programs in another way, and run this again: apt-get install {}",
            names.join(" ")
        );
    }
    must_succeed(&mut apt(&["update", "-qq"]))?;
    must_succeed(apt(&["install", "-y", "-qq", "--no-install-recommends"]).args(&names))
}

fn apt(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_root() -> Result<bool> {
    let output = Command::new("id").arg("-u").output().context("cannot start id")?;
    Ok(output.stdout.trim_ascii() == b"0")
}
