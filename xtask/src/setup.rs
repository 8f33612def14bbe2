//! `cargo xtask setup`: everything that tests need, so that `cargo xtask test` runs on a fresh clone of a fresh machine.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{has_program, must_succeed, root, succeeds};
use crate::{Outcome, testbed};

/// A Debian package, the program by which one sees that it is there (in whatever way it came), and what it is for.
struct Package {
    name: &'static str,
    program: &'static str,
    reason: &'static str,
}

const PACKAGES: [Package; 24] = [
    Package { name: "util-linux", program: "setpriv", reason: "ends the parts of a testbed with their test" },
    Package { name: "golang-go", program: "go", reason: "builds the control plane; an old version fetches the one that is needed" },
    Package { name: "rabbitmq-server", program: "rabbitmq-server", reason: "a broker to test against" },
    Package { name: "erlang-base", program: "epmd", reason: "RabbitMQ's port mapper" },
    Package { name: "redis-server", program: "redis-server", reason: "a broker to test against" },
    Package { name: "redis-sentinel", program: "redis-sentinel", reason: "finds the master of several Redis servers" },
    Package { name: "redis-tools", program: "redis-cli", reason: "makes a cluster of Redis servers" },
    Package { name: "postgresql", program: "pg_ctlcluster", reason: "a database to test against" },
    Package { name: "postgresql-client", program: "psql", reason: "fills PostgreSQL" },
    Package { name: "mariadb-server", program: "mariadb-install-db", reason: "a database to test against" },
    Package { name: "mariadb-client", program: "mariadb", reason: "fills MariaDB" },
    Package { name: "python3-venv", program: "python3", reason: "runs a stand-in for AWS, to test against" },
    Package { name: "maven", program: "mvn", reason: "fetches Kafka, a broker to test against" },
    Package { name: "default-jre-headless", program: "java", reason: "runs Kafka" },
    Package { name: "npm", program: "npm", reason: "fetches Azurite, Azure's storage to test against" },
    Package { name: "nodejs", program: "node", reason: "runs Azurite" },
    Package { name: "docker.io", program: "dockerd", reason: "runs the images that docker/ makes" },
    Package { name: "docker.io", program: "docker", reason: "asks the container engine what compose does not" },
    Package { name: "iptables", program: "iptables", reason: "containers' networks" },
    Package { name: "iproute2", program: "ip", reason: "containers' networks" },
    Package { name: "busybox-static", program: "busybox", reason: "the shell of the images that stand in for published ones" },
    Package {
        name: "prometheus",
        program: "prometheus",
        reason: "a server to test against; reads the daemon's metrics, in docker/compose.yaml",
    },
    Package { name: "chromium", program: "chromium", reason: "opens the page, as a person's browser does" },
    Package { name: "chromium-driver", program: "chromedriver", reason: "reads the page for a test" },
];

impl Package {
    fn is_there(&self) -> bool {
        // Debian's Python comes without what makes environments of its own, and that is no program.
        let is_whole = || self.program != "python3" || succeeds(Command::new("python3").args(["-c", "import ensurepip"])).unwrap_or(false);
        has_program(self.program) && is_whole()
    }
}

pub(crate) fn run() -> Result<Outcome> {
    let missing: Vec<&Package> = PACKAGES.iter().filter(|package| !package.is_there()).collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    testbed::program(&["setup"]).and_then(|mut command| must_succeed(&mut command))?;
    let root = root();
    let images = ["static", &root.to_string_lossy(), "springtide", "springtide-worker"].map(str::to_owned);
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    if !succeeds(&mut testbed::program(&images)?)? {
        // The test of the images fails then, and says so; no other test needs these programs.
        eprintln!("setup: the programs for images cannot be built");
    }
    Ok(Outcome::Good)
}

fn install(missing: &[&Package]) -> Result<()> {
    let mut names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    // One package may have several of the programs.
    names.dedup();
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
