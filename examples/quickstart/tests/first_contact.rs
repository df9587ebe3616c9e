//! What somebody sees who starts the program for the first time, also with a mistake. Case N16.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::io::Read;
use std::process::{Command, Output, Stdio};

fn quickstart(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
    command.args(arguments);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap()
}

#[test]
fn n16_help_shows_plain_paths() {
    let output = quickstart(&["--help"]).output().unwrap();
    let said = said(&output);
    assert!(output.status.success() && said.contains("--outbox") && !said.contains(".."), "{said}");
}

#[test]
fn n16_a_wrong_option_is_one_error_with_its_name() {
    for (arguments, problem) in [
        (["--for", "0s"], "error: --for 0s leaves no time for anything; give at least 1s"),
        (["--for", "soon"], "'--for <RUN_FOR>': duration `soon`, column 1: expected a whole number"),
        (["--for", "1.5s"], "write `1s500ms`"),
        (["--folder", "/nowhere"], "error: --folder /nowhere: cannot be opened"),
        (["--outbox", "/"], "error: --outbox /: this is not a file"),
    ] {
        let output = quickstart(&arguments).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(problem) && said.matches("error:").count() == 1, "{arguments:?}: {said}");
    }
}

#[test]
fn n16_a_broken_message_is_named_by_its_line_without_colours_in_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let (outbox, out) = (folder.path().join("outbox.jsonl"), folder.path().join("out"));
    let (outbox, out) = (outbox.to_str().unwrap(), out.to_str().unwrap());
    for (text, place) in
        [("\n{]\n", "line 2 column 2: key must be a string"), ("{}", "line 1 column 2: missing field `id`")]
    {
        std::fs::write(outbox, text).unwrap();
        let arguments = ["--outbox", outbox, "--out", out, "--folder", out];
        std::fs::create_dir_all(out).unwrap();
        let output = quickstart(&arguments).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(place) && said.contains("write one JSON object a line"), "{said}");
        assert!(!said.contains('\u{1b}'), "{said}");
    }
}

#[test]
fn n16_a_closed_pipe_ends_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let mut child = quickstart(&["--for", "1ms", "--out", out, "--folder", out])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    assert_eq!(said, "");
}
