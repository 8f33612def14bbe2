//! Which files are read, and what the program's code says of them.

use std::io::Write;
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Folder, PROGRAM, Said, check};

const GOOD: &str = "{apiVersion: karpenter.kwok.sh/v1alpha1, kind: KWOKNodeClass, metadata: {name: NAME}}";
const BAD: &str = "{apiVersion: karpenter.kwok.sh/v1alpha1, kind: KWOKNodeClass, metadata: {name: NAME}, spec: {delay: 3s}}";

fn object(text: &str, name: &str) -> String {
    text.replace("NAME", name)
}

pub fn packed(text: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(text).expect("packed");
    packer.finish().expect("packed")
}

#[test]
fn folders_are_read_in_order_and_hidden_or_other_files_are_not() {
    let folder = Folder::new("folders");
    folder
        .write("m/b.yml", object(BAD, "b"))
        .write("m/a/z.json", object(BAD, "z").replace("{delay: 3s}", "{\"delay\": 3}"))
        .write("m/c.yaml.gz", packed(object(BAD, "c").as_bytes()))
        .write("m/.hidden.yaml", object(BAD, "hidden"))
        .write("m/.git/x.yaml", object(BAD, "git"))
        .write("m/notes.txt", "no: [manifest")
        .write("m/values.yaml", "replicas: 3\n");
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, folder.0.join(at)).expect("a link");
    link("..", "m/a/loop");
    link("b.yml", "m/again.yaml");
    let said = check(&folder.0, &["m"]);
    let files: Vec<&str> = said.lines().iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(files, ["m/a/z.json", "m/again.yaml", "m/c.yaml.gz"], "{}", said.out);
    assert_eq!(said.code, Some(1));
    // A file that is named is meant.
    let said = check(&folder.0, &["m/values.yaml"]);
    assert_eq!(said.lines(), ["m/values.yaml:1: kind: it is missing; add it, as in kind: ScaledObject"]);
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_is_checked() {
    let folder = Folder::new("unread");
    folder.write("bad.yaml", object(BAD, "bad")).write("empty/readme.txt", "").write("broken.yaml.gz", &packed(b"kind: x")[..12]);
    assert!(Command::new("mkfifo").arg(folder.0.join("pipe.yaml")).status().expect("mkfifo starts").success());
    std::os::unix::fs::symlink("nowhere", folder.0.join("dangling.yaml")).expect("a link");
    let said = check(&folder.0, &["missing.yaml", "bad.yaml", "empty", "pipe.yaml", "/dev/zero", "dangling.yaml", "broken.yaml.gz"]);
    assert_eq!(said.code, Some(2));
    assert!(said.out.starts_with("bad.yaml:1 KWOKNodeClass/bad: spec.delay: "), "{}", said.out);
    for (name, why) in [
        ("missing.yaml", "there is no such file or folder; correct the path"),
        ("empty", "there is no manifest in this folder"),
        ("pipe.yaml", "it is no file but a pipe or a device; pipe it in"),
        ("/dev/zero", "it is no file but a pipe or a device; pipe it in"),
        ("dangling.yaml", "there is no such file or folder"),
        ("broken.yaml.gz", "it cannot be unpacked"),
    ] {
        let found = said.errors.lines().any(|line| line.starts_with(&format!("springtide: {name}: {why}")) && line.contains("; "));
        assert!(found, "{name}: {}", said.errors);
    }
    // In a folder as well.
    let said = check(&folder.0, &["."]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.out.contains("bad.yaml:1 KWOKNodeClass/bad") && said.errors.contains("pipe.yaml: it is no file"),
        "{}{}",
        said.out,
        said.errors
    );
}

#[test]
fn standard_input_is_read_packed_or_not_and_json_is_printed() {
    for text in [object(BAD, "in").into_bytes(), packed(object(BAD, "in").as_bytes())] {
        let mut child = Command::new(PROGRAM)
            .args(["check", "-f", "-", "-o", "json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        child.stdin.take().expect("its input").write_all(&text).expect("written");
        let said = Said::of(child.wait_with_output().expect("it ends"));
        let json: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
        let finding = &json["findings"][0];
        assert_eq!((finding["file"].as_str(), finding["line"].as_u64()), (Some("-"), Some(1)));
        assert_eq!((finding["kind"].as_str(), finding["name"].as_str()), (Some("KWOKNodeClass"), Some("in")));
        assert_eq!((finding["severity"].as_str(), finding["field"].as_str()), (Some("problem"), Some("spec.delay")));
        assert_eq!((json["summary"]["problems"].as_u64(), said.code), (Some(1), Some(1)));
    }
}

#[test]
fn the_same_file_twice_is_read_once_and_good_ones_are_good() {
    let folder = Folder::new("twice");
    folder.write("a.yaml", object(GOOD, "a"));
    let said = check(&folder.0, &["a.yaml", ".", "./a.yaml"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "no problems in 1 object, 1 file\n"), "{}", said.errors);
}
