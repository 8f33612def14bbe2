//! Which files are meant, and their reading: in sorted order, several at a time, none of them further than the limits.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use super::{Fault, Limits, Parsed, parse, threads};

/// Endings of manifests in a folder, each also with `.gz`. A file that is named is read whatever its ending.
const ENDINGS: [&str; 3] = [".yaml", ".yml", ".json"];
/// As much text is in memory at a time, beside what became of earlier files.
const AT_A_TIME: usize = 64 << 20;
/// As many files are shared out among threads at a time.
const FILES_AT_A_TIME: usize = 1024;

/// Something to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is; none for standard input.
    path: Option<PathBuf>,
    /// What it is called in messages.
    pub name: Arc<str>,
    /// Whether it was named itself rather than found in a folder.
    pub named: bool,
}

/// A file that was read.
#[derive(Debug)]
pub struct ReadFile {
    /// Which.
    pub source: Source,
    /// What is in it.
    pub parsed: Parsed,
}

/// What could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// What it is called.
    pub name: String,
    /// Why.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Unread {
    fn new(name: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name: name.into(), what: what.into(), remedy: remedy.into() }
    }
}

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; {}", self.name, self.what, self.remedy)
    }
}

/// Files and folders as they were named, `-` for standard input, as single files: folders with all that is below them, sorted, each file once.
#[must_use]
pub fn find(paths: &[PathBuf]) -> (Vec<Source>, Vec<Unread>) {
    let mut search = Search::default();
    for path in paths {
        if path.as_os_str() == "-" {
            let source = Source { path: None, name: "-".into(), named: true };
            if !search.found.contains(&source) {
                search.found.push(source);
            }
            continue;
        }
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                let before = search.found.len() + search.unread.len();
                search.folder(path);
                if search.found.len() + search.unread.len() == before && !search.repeated {
                    let what = format!("there is no manifest in this folder ({})", ENDINGS.map(|ending| format!("*{ending}")).join(", "));
                    search.unread.push(Unread::new(shown(path), what, "name another folder, or the files themselves"));
                }
            }
            Ok(_) => search.file(path, true),
            Err(error) => search.unreadable(path, &error),
        }
    }
    (search.found, search.unread)
}

#[derive(Default)]
struct Search {
    found: Vec<Source>,
    unread: Vec<Unread>,
    /// Files and folders that were seen, by their real paths; so a loop of links ends.
    seen: BTreeSet<PathBuf>,
    /// Whether something was met a second time.
    repeated: bool,
}

impl Search {
    fn is_new(&mut self, path: &Path) -> bool {
        let new = fs::canonicalize(path).map_or(true, |real| self.seen.insert(real));
        self.repeated |= !new;
        new
    }

    fn folder(&mut self, folder: &Path) {
        if !self.is_new(folder) {
            return;
        }
        let mut entries: Vec<PathBuf> = match fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect()) {
            Ok(entries) => entries,
            Err(error) => return self.unreadable(folder, &error),
        };
        entries.sort();
        for path in entries {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name.starts_with('.') {
                continue;
            }
            let plain = name.strip_suffix(".gz").unwrap_or(&name);
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => self.folder(&path),
                _ if !ENDINGS.iter().any(|ending| plain.ends_with(ending)) => {}
                Ok(_) => self.file(&path, false),
                Err(error) => self.unreadable(&path, &error),
            }
        }
    }

    fn file(&mut self, path: &Path, named: bool) {
        if self.is_new(path) {
            self.found.push(Source { path: Some(path.to_owned()), name: shown(path).into(), named });
        }
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        self.unread.push(unreadable(&shown(path), error));
    }
}

/// A path as it was written, without what would break a line.
fn shown(path: &Path) -> String {
    path.to_string_lossy().chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

fn unreadable(name: &str, error: &io::Error) -> Unread {
    let (what, remedy) = match error.kind() {
        io::ErrorKind::NotFound => ("there is no such file or folder".to_owned(), "correct the path"),
        io::ErrorKind::PermissionDenied => ("it may not be read".to_owned(), "allow it, or run this as somebody who may"),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            (format!("it cannot be unpacked ({error})"), "pack it again with gzip")
        }
        _ => (format!("it cannot be read ({error})"), "make it a file that can be read"),
    };
    Unread::new(name, what, remedy)
}

/// Reads and parses all. The result does not depend on which thread is faster.
#[must_use]
pub fn read(sources: Vec<Source>, limits: &Limits) -> (Vec<ReadFile>, Vec<Unread>) {
    let (mut files, mut unread) = (Vec::with_capacity(sources.len()), Vec::new());
    let (mut bytes, mut values) = (0, 0);
    let mut rest = &sources[..];
    while let Some(first) = rest.first() {
        if bytes > limits.all || values > limits.all_values {
            let what =
                format!("before this file, {} MiB or {} values have been read, which is the most", limits.all >> 20, limits.all_values);
            unread.push(Unread::new(&*first.name, what, "check this file and those after it by themselves"));
            break;
        }
        let (batch, after) = rest.split_at(batch(rest, limits));
        rest = after;
        for (source, result) in batch.iter().zip(threads::map(batch, |source| one(source, limits))) {
            match result {
                Ok((size, parsed)) => {
                    bytes += size;
                    values += parsed.values;
                    files.push(ReadFile { source: source.clone(), parsed });
                }
                Err(problem) => unread.push(problem),
            }
        }
    }
    (files, unread)
}

/// How many of these files are read next.
fn batch(sources: &[Source], limits: &Limits) -> usize {
    let mut sum = 0;
    let weight = |source: &Source| {
        let packed = source.name.ends_with(".gz");
        let length = source.path.as_ref().filter(|_| !packed).and_then(|path| fs::metadata(path).ok()).map(|metadata| metadata.len());
        length.and_then(|length| usize::try_from(length).ok()).unwrap_or(limits.file).min(limits.file)
    };
    let fits = |source: &&Source| {
        sum += weight(source);
        sum <= AT_A_TIME
    };
    sources.iter().take(FILES_AT_A_TIME).take_while(fits).count().max(1)
}

type One = Result<(usize, Parsed), Unread>;

fn one(source: &Source, limits: &Limits) -> One {
    let bytes = bytes(source, limits)?;
    let size = bytes.len();
    let fault = |fault| Parsed { documents: Vec::new(), faults: vec![fault], values: 0 };
    Ok((
        size,
        match text(bytes) {
            Ok(text) => parse(&source.name, &text, limits),
            Err(wrong) => fault(wrong),
        },
    ))
}

fn bytes(source: &Source, limits: &Limits) -> Result<Vec<u8>, Unread> {
    let failed = |error: io::Error| unreadable(&source.name, &error);
    let packed: Vec<u8> = match &source.path {
        None => upto(io::stdin().lock(), limits.file).map_err(failed)?,
        Some(path) => {
            let metadata = fs::metadata(path).map_err(failed)?;
            if !metadata.is_file() {
                return Err(Unread::new(&*source.name, "it is no file but a pipe or a device", "pipe it in, with `-f -`"));
            }
            if metadata.len() > limits.file as u64 {
                return Err(too_large(source, limits));
            }
            upto(File::open(path).map_err(failed)?, limits.file).map_err(failed)?
        }
    };
    let bytes =
        if packed.starts_with(&[0x1f, 0x8b]) { upto(MultiGzDecoder::new(&packed[..]), limits.file).map_err(failed)? } else { packed };
    if bytes.len() > limits.file { Err(too_large(source, limits)) } else { Ok(bytes) }
}

/// At most one byte more than the limit, by which one sees that there is more.
fn upto(reader: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn too_large(source: &Source, limits: &Limits) -> Unread {
    Unread::new(&*source.name, format!("it has more than {} MiB, unpacked, and was not read", limits.file >> 20), "split it")
}

fn text(bytes: Vec<u8>) -> Result<String, Fault> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Fault::new(1, "this is text in UTF-16", "save it as UTF-8"));
    }
    let line_at = |bytes: &[u8], at: usize| {
        let breaks = bytes.iter().take(at).filter(|byte| **byte == b'\n').count();
        u32::try_from(breaks + 1).unwrap_or(u32::MAX)
    };
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(Fault::new(line_at(&bytes, at), "this is binary, and no text", "name manifests in YAML or JSON"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = line_at(error.as_bytes(), error.utf8_error().valid_up_to());
        Fault::new(line, "there are bytes here that are no UTF-8", "save it as UTF-8")
    })
}
