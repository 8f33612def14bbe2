//! The programs of a control plane: found, or built once from the two Go modules beside this crate.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::{go, places};

/// The ecosystem's variable for a folder with etcd and kube-apiserver; what it has is not built.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// Clients read the server's version from here; without it, every program calls itself v0.0.0-master.
const VERSION: &str = "k8s.io/component-base/version";

/// The paths of all programs of a control plane.
#[derive(Clone, Debug)]
pub struct Programs {
    /// etcd.
    pub etcd: PathBuf,
    /// kube-apiserver.
    pub kube_apiserver: PathBuf,
    /// kube-scheduler.
    pub kube_scheduler: PathBuf,
    /// kube-controller-manager.
    pub kube_controller_manager: PathBuf,
    /// kwok, which plays the kubelet of every node.
    pub kwok: PathBuf,
}

/// A program, the module that it is built in (a folder of this crate), and its Go package.
struct Source {
    program: &'static str,
    module: &'static str,
    package: &'static str,
}

/// Kubernetes first: etcd and kwok then find half of their packages compiled.
const SOURCES: [Source; 5] = [
    Source { program: "kube-apiserver", module: ".", package: "k8s.io/kubernetes/cmd/kube-apiserver" },
    Source { program: "kube-controller-manager", module: ".", package: "k8s.io/kubernetes/cmd/kube-controller-manager" },
    Source { program: "kube-scheduler", module: ".", package: "k8s.io/kubernetes/cmd/kube-scheduler" },
    Source { program: "etcd", module: ".", package: "go.etcd.io/etcd/server/v3" },
    Source { program: "kwok", module: "kwok", package: "sigs.k8s.io/kwok/cmd/kwok" },
];

impl Programs {
    /// Finds the programs and builds those that are missing: about five minutes on two cores the first time, nothing after.
    pub fn ensure() -> Result<Self> {
        let built = places::testbed()?.join(fingerprint()?);
        fs::create_dir_all(&built).with_context(|| format!("cannot make the folder {}", built.display()))?;
        // Several test processes may find the cache empty at the same time: one builds, the others wait.
        let lock = File::create(built.join("lock")).with_context(|| format!("cannot write in {}", built.display()))?;
        if SOURCES.iter().any(|source| find(source.program, &built).is_none()) {
            lock.lock().with_context(|| format!("cannot lock {}", built.display()))?;
        }
        let mut paths = Vec::with_capacity(SOURCES.len());
        for source in &SOURCES {
            paths.push(match find(source.program, &built) {
                Some(path) => path,
                None => build(source, &built)?,
            });
        }
        let [kube_apiserver, kube_controller_manager, kube_scheduler, etcd, kwok] =
            <[PathBuf; 5]>::try_from(paths).map_err(|_| anyhow::anyhow!("five sources give five programs"))?;
        Ok(Self { etcd, kube_apiserver, kube_scheduler, kube_controller_manager, kwok })
    }
}

/// What a build depends on: the modules' own files say every version of every dependency.
fn fingerprint() -> Result<String> {
    let mut hash = Sha256::new();
    for file in ["go.mod", "go.sum", "kwok/go.mod", "kwok/go.sum"] {
        let path = places::sources().join(file);
        hash.update(fs::read(&path).with_context(|| format!("cannot read {}; it is part of the repository", path.display()))?);
    }
    Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

fn find(program: &str, built: &Path) -> Option<PathBuf> {
    let given = env::var_os(ASSETS).map(|folder| Path::new(&folder).join(program)).filter(|path| path.is_file());
    given.or_else(|| Some(built.join(program)).filter(|path| path.is_file()))
}

fn build(source: &Source, built: &Path) -> Result<PathBuf> {
    let go = go::find_or_fetch().with_context(|| format!("{} has to be built once, with Go", source.program))?;
    eprintln!("testbed: building {} (once; kept in {})", source.program, built.display());
    let module = places::sources().join(source.module);
    // Built beside and renamed, so that a build that was cut off leaves nothing that looks whole.
    let unfinished = built.join(format!("{}.unfinished", source.program));
    let mut command = Command::new(&go);
    command.args(["build", "-trimpath", "-buildvcs=false", "-ldflags", &linker_flags(&module)?, "-o"]);
    command.arg(&unfinished).arg(source.package).current_dir(&module);
    run_go(command).with_context(|| {
        format!(
            "cannot build {} in {}; if a download failed, see that Go's module proxy can be reached (`go env GOPROXY`) and run `cargo xtask setup` again",
            source.program,
            module.display()
        )
    })?;
    let path = built.join(source.program);
    fs::rename(&unfinished, &path).with_context(|| format!("cannot rename {}", unfinished.display()))?;
    Ok(path)
}

/// Leaves out what a debugger would want, and sets the version that go.mod asks for.
fn linker_flags(module: &Path) -> Result<String> {
    let path = module.join("go.mod");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    // The line may end in a comment.
    let asked = text.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v")?.split_whitespace().next());
    let Some(version) = asked else { return Ok("-s -w".to_owned()) };
    let mut numbers = version.split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    Ok(format!(
        "-s -w -X {VERSION}.gitVersion=v{version} -X {VERSION}.gitMajor={major} -X {VERSION}.gitMinor={minor} -X {VERSION}.gitTreeState=clean"
    ))
}

/// Runs Go with what makes builds alike everywhere, whatever a person has set for other work.
pub(crate) fn run_go(mut command: Command) -> Result<()> {
    command.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "auto").env("GOWORK", "off").env_remove("GOROOT").env_remove("GOFLAGS");
    let status = command.status().with_context(|| format!("cannot start {}", Path::new(command.get_program()).display()))?;
    if !status.success() {
        let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        bail!("`go {}` failed ({status})", arguments.join(" "));
    }
    Ok(())
}
