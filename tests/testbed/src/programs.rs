//! The programs of a control plane and of those who use one: found, or built once from the Go modules beside this crate.

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

/// What people have at hand who run containers, and the images that they would fetch are made from.
#[derive(Clone, Debug)]
pub struct Tools {
    /// kubectl.
    pub kubectl: PathBuf,
    /// kwokctl, which starts a whole control plane inside a container.
    pub kwokctl: PathBuf,
    /// Docker compose, version 2, as a program of its own.
    pub compose: PathBuf,
}

/// A program, the module that it is built in (a folder of this crate), and its Go package.
struct Source {
    program: &'static str,
    module: &'static str,
    package: &'static str,
}

/// Kubernetes first: etcd and kwok then find half of their packages compiled.
const CONTROL_PLANE: [Source; 5] = [
    Source { program: "kube-apiserver", module: ".", package: "k8s.io/kubernetes/cmd/kube-apiserver" },
    Source { program: "kube-controller-manager", module: ".", package: "k8s.io/kubernetes/cmd/kube-controller-manager" },
    Source { program: "kube-scheduler", module: ".", package: "k8s.io/kubernetes/cmd/kube-scheduler" },
    Source { program: "etcd", module: ".", package: "go.etcd.io/etcd/server/v3" },
    Source { program: "kwok", module: "kwok", package: "sigs.k8s.io/kwok/cmd/kwok" },
];

const TOOLS: [Source; 3] = [
    Source { program: "kubectl", module: ".", package: "k8s.io/kubernetes/cmd/kubectl" },
    Source { program: "kwokctl", module: "kwok", package: "sigs.k8s.io/kwok/cmd/kwokctl" },
    Source { program: "docker-compose", module: "compose", package: "github.com/docker/compose/v2/cmd" },
];

const NATS: [Source; 1] = [Source { program: "nats-server", module: "nats", package: "github.com/nats-io/nats-server/v2" }];

/// Finds NATS' server, and builds it when it is missing: half a minute on two cores the first time, nothing after.
pub fn nats_server() -> Result<PathBuf> {
    ensure(&NATS).map(|[path]| path)
}

impl Programs {
    /// Finds the programs and builds those that are missing: about five minutes on two cores the first time, nothing after.
    pub fn ensure() -> Result<Self> {
        let [kube_apiserver, kube_controller_manager, kube_scheduler, etcd, kwok] = ensure(&CONTROL_PLANE)?;
        Ok(Self { etcd, kube_apiserver, kube_scheduler, kube_controller_manager, kwok })
    }
}

impl Tools {
    /// Finds the programs and builds those that are missing: about three minutes on two cores the first time, nothing after.
    pub fn ensure() -> Result<Self> {
        let [kubectl, kwokctl, compose] = ensure(&TOOLS)?;
        Ok(Self { kubectl, kwokctl, compose })
    }
}

fn ensure<const N: usize>(sources: &[Source; N]) -> Result<[PathBuf; N]> {
    let paths = sources.iter().map(find_or_build).collect::<Result<Vec<_>>>()?;
    <[PathBuf; N]>::try_from(paths).map_err(|_| anyhow::anyhow!("a source gives one program"))
}

fn find_or_build(source: &Source) -> Result<PathBuf> {
    let given = env::var_os(ASSETS).map(|folder| Path::new(&folder).join(source.program)).filter(|path| path.is_file());
    if let Some(path) = given {
        return Ok(path);
    }
    // The module's own files say every version of every dependency.
    let module = places::sources().join(source.module);
    cached(&["go.mod", "go.sum"].map(|file| module.join(file)), source.program, |unfinished| build(source, &module, unfinished))
}

/// What is made once of these files, and lies then in a folder of the cache that is named by their content.
pub(crate) fn cached(files: &[PathBuf], name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let folder = places::testbed()?.join(fingerprint(files)?);
    let path = folder.join(name);
    if path.exists() {
        return Ok(path);
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    // Several test processes may find the cache empty at the same time: one makes it, the others wait.
    let lock = File::create(folder.join("lock")).with_context(|| format!("cannot write in {}", folder.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", folder.display()))?;
    if path.exists() {
        return Ok(path);
    }
    // Made beside and renamed, so that what was cut off leaves nothing that looks whole.
    let unfinished = folder.join(format!("{name}.unfinished"));
    make(&unfinished)?;
    fs::rename(&unfinished, &path).with_context(|| format!("cannot rename {}", unfinished.display()))?;
    Ok(path)
}

fn fingerprint(files: &[PathBuf]) -> Result<String> {
    let mut hash = Sha256::new();
    for path in files {
        hash.update(fs::read(path).with_context(|| format!("cannot read {}; it is part of the repository", path.display()))?);
    }
    Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

fn build(source: &Source, module: &Path, unfinished: &Path) -> Result<()> {
    let go = go::find_or_fetch().with_context(|| format!("{} has to be built once, with Go", source.program))?;
    eprintln!("testbed: building {} (once; kept in {})", source.program, unfinished.with_file_name(source.program).display());
    let mut command = Command::new(&go);
    command.args(["build", "-trimpath", "-buildvcs=false", "-ldflags", &linker_flags(module)?, "-o"]);
    command.arg(unfinished).arg(source.package).current_dir(module);
    run_go(command).with_context(|| {
        format!(
            "cannot build {} in {}; if a download failed, see that Go's module proxy can be reached (`go env GOPROXY`) and run `cargo xtask setup` again",
            source.program,
            module.display()
        )
    })
}

/// Leaves out what a debugger would want, and sets the version that go.mod asks for.
fn linker_flags(module: &Path) -> Result<String> {
    let Some(version) = asked_version(module)? else { return Ok("-s -w".to_owned()) };
    let mut numbers = version.split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    Ok(format!(
        "-s -w -X {VERSION}.gitVersion=v{version} -X {VERSION}.gitMajor={major} -X {VERSION}.gitMinor={minor} -X {VERSION}.gitTreeState=clean"
    ))
}

/// The version of Kubernetes, such as 1.34.4.
pub(crate) fn kubernetes_version() -> Result<String> {
    asked_version(&places::sources())?.context("tests/testbed/go.mod does not ask for k8s.io/kubernetes")
}

/// The version of Kubernetes that a module asks for, if it does.
fn asked_version(module: &Path) -> Result<Option<String>> {
    let path = module.join("go.mod");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    // The line may end in a comment.
    let asked = text.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v")?.split_whitespace().next());
    Ok(asked.map(str::to_owned))
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
