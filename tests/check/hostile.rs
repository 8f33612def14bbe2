//! Files that nobody should have to read: each is answered within a time and a memory, with its name, and beside a good file that is checked all the same.

use std::process::Command;

use super::files::packed;
use super::{Folder, PROGRAM, Said};

/// Address space, in KiB: what a file may take is bounded, and this is well above it.
const MEMORY_KIB: u32 = 2 * 1024 * 1024;
/// A debug build reads a file of the greatest size in a few seconds; this is for a machine that does other things too.
const TIME_S: u32 = 120;

const BESIDE: &str = "{apiVersion: karpenter.kwok.sh/v1alpha1, kind: KWOKNodeClass, metadata: {name: beside}, spec: {delay: 3s}}";

/// Runs the program over a folder within its bounds.
fn check(folder: &Folder) -> Said {
    folder.write("z.yaml", BESIDE);
    let script = format!("ulimit -v {MEMORY_KIB}; exec timeout {TIME_S} {PROGRAM} check -f .");
    let output = Command::new("sh").args(["-c", &script]).current_dir(&folder.0).output().expect("sh starts");
    let said = Said::of(output);
    assert!(matches!(said.code, Some(1 | 2)), "code {:?} (124 is a hang, none a crash)\n{}{}", said.code, said.out, said.errors);
    assert!(!said.errors.contains("panicked"), "{}", said.errors);
    assert!(said.out.contains("z.yaml:1 KWOKNodeClass/beside: spec.delay: "), "the good file was not checked:\n{}", said.out);
    said
}

/// A file becomes one line that names it, a line where there is one, and this.
fn answers(name: &str, content: impl AsRef<[u8]>, line: Option<u32>, what: &str) {
    let folder = Folder::new(name);
    let file = if content.as_ref().starts_with(&[0x1f, 0x8b]) { "a.yaml.gz" } else { "a.yaml" };
    folder.write(file, content);
    let said = check(&folder);
    let text = format!("{}{}", said.out, said.errors);
    let place = line.map_or_else(|| format!("./{file}:"), |line| format!("./{file}:{line}: "));
    let found = text.lines().any(|text| text.contains(&place) && text.contains(what) && text.contains("; "));
    let shown: String = text.chars().take(2000).collect();
    assert!(found, "{name}: no line with {place:?} and {what:?} in\n{shown}");
    assert!(text.lines().count() < 300, "{name}: {} lines are more than anybody reads", text.lines().count());
}

#[test]
fn large_files_are_not_read() {
    let folder = Folder::new("large");
    std::fs::File::create(folder.0.join("a.yaml")).and_then(|file| file.set_len(100 << 20)).expect("100 MiB of nothing");
    let said = check(&folder);
    assert_eq!(said.code, Some(2));
    assert!(said.errors.contains("a.yaml: it has more than 32 MiB, unpacked, and was not read; split it"), "{}", said.errors);
}

#[test]
fn packed_bombs_are_not_unpacked() {
    let mib = vec![b' '; 1 << 20];
    // 33 members of 1 MiB in 33 KiB, one after the other; then one member of a gigabyte.
    answers("gz-members", packed(&mib).repeat(33), None, "more than 32 MiB, unpacked");
    answers("gz-member", packed(&mib.repeat(256)), None, "more than 32 MiB, unpacked");
}

#[test]
fn aliases_do_not_multiply() {
    let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for i in 1..10 {
        text += &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(", "));
    }
    answers("bomb", &text, Some(7), "there are more than 2000000 values in this file");
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 10_000].join(", "));
    answers("bomb-of-text", long, Some(2), "there are more than 2000000 values in this file");
    answers("itself", "a: &a [*a]\n", Some(1), "");
}

#[test]
fn nesting_has_an_end() {
    answers("brackets", "[".repeat(100_000), Some(1), "");
    answers("braces", "{a: ".repeat(100_000), Some(1), "");
    answers("closed", format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)), Some(1), "");
    let dashes = "- ".repeat(100_000);
    answers("dashes", dashes, Some(1), "");
    let deep: String = (0..1000).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    answers("indentation", deep, None, "");
}

#[test]
fn what_is_no_text_is_said() {
    answers("binary", [b"\x7fELF\x02\x01\x01\0\0\0".as_slice(), &[0xff; 5000]].concat(), Some(1), "this is binary, and no text");
    answers("utf-8", b"a: b\nc: \xff\xfe\n", Some(2), "there are bytes here that are no UTF-8");
    answers(
        "utf-16",
        [&[0xff, 0xfe][..], &"a: b".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()].concat(),
        Some(1),
        "UTF-16",
    );
    answers("nul", b"a: b\n\n\0", Some(3), "this is binary, and no text");
}

#[test]
fn slips_have_their_line() {
    answers("quotes", "a: b\nc: \"d\n", None, "this is no YAML");
    answers("tabs", "a:\n\tb: c\n", Some(2), "indent with spaces");
    answers("colon", "a: b: c\n", Some(1), "this is no YAML");
    answers("control", "a: \u{1}\n", Some(1), "this is no YAML");
    answers("directive", "%YAML 9.9.9\n---\na: b\n", None, "this is no YAML");
}

#[test]
fn much_of_the_same_is_told_once() {
    let many: String = (0..30_000).map(|_| "a: b\n").collect();
    answers("same-key", many, None, "there are more than 100 mistakes in this file");
    answers("broken-documents", "---\na: [\n".repeat(10_000), None, "there are more than 100 mistakes in this file");
    let head = "apiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata:\n  name: a\n";
    let unknown: String = (0..100_000).map(|i| format!("  f{i}: 1\n")).collect();
    let folder = Folder::new("unknown-fields");
    folder.write("a.yaml", format!("{head}spec:\n{unknown}"));
    let said = check(&folder);
    assert!(said.out.lines().count() < 120 && said.out.contains("more problems were found"), "{} lines", said.out.lines().count());
    // Labels and requirements that are wrong each by itself.
    let labels: String = (0..50_000).map(|i| format!("        -{i}: -\n")).collect();
    let rows: String = (0..50_000).map(|i| format!("        - {{key: a, operator: NotIn, values: [v{i}]}}\n")).collect();
    let folder = Folder::new("rows");
    folder
        .write("a.yaml", format!("{head}spec:\n  template:\n    metadata:\n      labels:\n{labels}    spec:\n      requirements:\n{rows}"));
    let said = check(&folder);
    assert!(said.out.lines().count() < 120, "{} lines", said.out.lines().count());
    let triggers: String = (0..100_000).map(|i| format!("  - {{type: t{i}, metadata: {{}}}}\n")).collect();
    let folder = Folder::new("triggers");
    folder.write("a.yaml", format!("apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {{name: a}}\nspec:\n  scaleTargetRef: {{name: a}}\n  triggers:\n{triggers}"));
    let said = check(&folder);
    assert!(said.out.lines().count() < 120, "{} lines", said.out.lines().count());
}

#[test]
fn the_largest_file_that_is_read_is_read_in_time() {
    // 31 MiB of one text, of one-letter items, and of empty documents.
    answers("one-text", "a".repeat(31 << 20), Some(1), "this is a text, and no object");
    answers("items", "- a\n".repeat(7 << 20), None, "there are more than 2000000 values in this file");
    let folder = Folder::new("empty-documents");
    folder.write("a.yaml", "---\n".repeat(7 << 20));
    check(&folder);
}

/// A name cannot speak to the terminal or break a line.
#[test]
fn names_stay_on_their_line() {
    let folder = Folder::new("names");
    folder.write("a.yaml", "apiVersion: keda.sh/v1alpha1\nkind: ScaledJob\nmetadata: {name: \"a\\e[31m\\nb\"}\nspec: {}\n");
    let said = check(&folder);
    assert!(said.out.contains("./a.yaml:3 ScaledJob/a?[31m?b: metadata.name: ") && !said.out.contains('\u{1b}'), "{}", said.out);
}
