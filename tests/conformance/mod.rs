//! Whether the planner behaves as Karpenter's scheduler does: `behaviours.txt` lists each behaviour that its tests show, `cases/SUITE/NAME.yaml` sets a scene
//! for it, `NAME.plan` is all that `springtide plan` prints, and the lines `# expect:` of a scene say what has to be true of the plan, whatever it looks like.
//!
//! `cargo xtask gen` writes the plans anew, and never an expectation. `CONFORMANCE=list` lists what fails, and passes. What is left out stands in
//! `tests/conformance.md` with the reason; of all behaviours at most one in fifty may.
//!
//! The head of a scene:
//! ```text
//! # behaviour: SUITE/CONTEXT N [N...]: what must hold, in a sentence       one line or more; the ordinals are those of behaviours.txt
//! # arguments: --reading s0-x=1                                            more arguments
//! # types: FILE | fake:N | assorted                                        what is sold; without this line, `types.json`; a FILE is beside it
//! # expect: ...                                                            one line or more, see `expect.rs` for the words
//! ```

mod case;
mod expect;
mod market;
mod report;
mod scene;
mod sold;

use std::io::{Write as _, stdout};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use self::case::Case;
use self::report::Report;

#[test]
fn conformance() {
    let cases = case::all();
    let failures = run(&cases);
    let report = Report::of(&cases, &failures);
    // Past what catches the output of a test that passes: everyone is to see it.
    writeln!(stdout(), "{report}").expect("printed");
    if std::env::var_os("CONFORMANCE").is_some_and(|wish| wish == "list") {
        println!("{}", report.list());
    } else {
        assert!(report.is_good(), "{}\nIf a plan has changed and is meant, run cargo xtask gen", report.list());
    }
}

/// What fails of each case, in their order.
fn run(cases: &[Case]) -> Vec<Vec<String>> {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(vec![Vec::new(); cases.len()]);
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((index, case)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|index| Some((index, cases.get(index)?)))
                {
                    let found = case.run();
                    failures.lock().expect("no thread has failed")[index] = found;
                }
            });
        }
    });
    failures.into_inner().expect("no thread has failed")
}
