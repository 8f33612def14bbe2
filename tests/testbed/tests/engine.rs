//! A container engine of its own: what runs in it is reached from inside alone, and nothing of it stays.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use springtide_testbed::{Engine, StandIn};

const IMAGE: &str = "example/anything:1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_are_reached_from_inside_alone_and_end_with_the_engine() -> Result<()> {
    let engine = Engine::start().await?;
    StandIn::Prometheus.make(&engine, IMAGE).await?;
    let flags = ["--detach", "--network", "host", "--read-only", "--cap-drop", "ALL", "--entrypoint", "/bin/httpd"];
    engine.docker(["run"].into_iter().chain(flags).chain([IMAGE, "-f", "-p", "127.0.0.1:8181"])).await?;
    let connects = || TcpStream::connect("127.0.0.1:8181");
    tokio::task::block_in_place(|| {
        engine.inside(async || {
            // It listens a moment after it has started.
            let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
            while connects().is_err() {
                ensure!(tokio::time::Instant::now() < deadline, "nothing listens inside");
                tokio::task::yield_now().await;
            }
            Ok(())
        })
    })?;
    ensure!(connects().is_err(), "a port of the engine is this machine's");

    let folder = engine.folder().to_owned();
    ensure!(!processes_below(&folder)?.is_empty() && !cgroups_of(&folder)?.is_empty(), "the search for what is left is broken");
    drop(engine);
    ensure!(!folder.exists(), "{} is left", folder.display());
    ensure!(processes_below(&folder)?.is_empty(), "processes are left: {:?}", processes_below(&folder)?);
    ensure!(cgroups_of(&folder)?.is_empty(), "cgroups are left: {:?}", cgroups_of(&folder)?);
    Ok(())
}

/// Command lines that name the folder: the engine, and a shim for each container.
fn processes_below(folder: &Path) -> Result<Vec<String>> {
    let folder = folder.display().to_string();
    let lines = fs::read_dir("/proc")?.flatten().filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
    Ok(lines.filter(|line| line.contains(&folder)).collect())
}

fn cgroups_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let name = folder.file_name().context("a folder with a name")?.to_string_lossy().into_owned();
    let root = Path::new("/sys/fs/cgroup");
    let folders = fs::read_dir(root)?.flatten().map(|entry| entry.path()).chain([root.to_owned()]);
    Ok(folders
        .flat_map(fs::read_dir)
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.display().to_string().contains(&name))
        .collect())
}
