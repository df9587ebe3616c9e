//! Makes sure that the servers which the tests start are installed.
//!
//! Only the program has to be there: each test starts its own server, on its own port, and stops it.

use std::process::{Command, Stdio};

use crate::machine::{find_program, output_of, succeeds};

const SERVER: &str = "redis-server";

/// The same tests pass on it.
pub(crate) const VALKEY: &str = "valkey-server";

/// The variable by which the tests start another program than [`SERVER`].
pub(crate) const CHOICE: &str = "TEST_SERVER";

/// A package manager and the packages that hold [`SERVER`], best first.
#[derive(Debug)]
struct PackageManager {
    program: &'static str,
    install: &'static [&'static str],
    /// Fetches the list of packages, for the case that the first attempt does not find any.
    refresh: Option<&'static str>,
    packages: &'static [&'static str],
    needs_root: bool,
}

/// Newer distributions ship Valkey in place of Redis; these packages of it bring a `redis-server`.
const PACKAGE_MANAGERS: &[PackageManager] = &[
    PackageManager {
        program: "apt-get",
        install: &["install", "-y", "--no-install-recommends"],
        refresh: Some("update"),
        packages: &["redis-server"],
        needs_root: true,
    },
    PackageManager {
        program: "dnf",
        install: &["install", "-y"],
        refresh: None,
        packages: &["redis", "valkey-compat-redis"],
        needs_root: true,
    },
    PackageManager {
        program: "pacman",
        install: &["-S", "--noconfirm", "--needed"],
        refresh: Some("-Sy"),
        packages: &["redis", "valkey"],
        needs_root: true,
    },
    PackageManager {
        program: "apk",
        install: &["add"],
        refresh: Some("update"),
        packages: &["redis"],
        needs_root: true,
    },
    PackageManager {
        program: "brew",
        install: &["install"],
        refresh: None,
        packages: &["redis"],
        needs_root: false,
    },
];

/// Finds the servers, or installs them with the system's package manager.
///
/// # Errors
///
/// They are missing and cannot be installed from here; the message says what to type.
pub(crate) fn ensure() -> Result<(), String> {
    if is_present() {
        return Ok(());
    }
    let manager =
        PACKAGE_MANAGERS.iter().find(|manager| find_program(manager.program).is_some()).ok_or_else(|| {
            format!("`{SERVER}` is not on the PATH; install Redis 7 or newer (https://redis.io/downloads)")
        })?;
    println!("{SERVER} is not on the PATH; installing it with {}", manager.program);
    install(manager)?;
    if is_present() { Ok(()) } else { Err(by_hand(manager, "was installed and is still not on the PATH")) }
}

/// Whether Valkey is there beside Redis. Where its packages bring a [`SERVER`], every test runs on it anyway.
pub(crate) fn has_valkey() -> bool {
    find_program(VALKEY).is_some()
        && !output_of(SERVER, &["--version"]).is_ok_and(|said| said.contains("Valkey"))
}

/// Says where the servers are and which ones.
fn is_present() -> bool {
    if has_valkey() {
        is_found(VALKEY);
    }
    is_found(SERVER)
}

fn is_found(server: &str) -> bool {
    let Some(path) = find_program(server) else { return false };
    let version = output_of(server, &["--version"]).unwrap_or_default();
    println!("{server}: {} ({})", path.display(), version.trim());
    true
}

fn install(manager: &PackageManager) -> Result<(), String> {
    let prefix = root_prefix(manager).ok_or_else(|| by_hand(manager, "needs root to be installed"))?;
    if install_any(manager, prefix) {
        return Ok(());
    }
    if let Some(refresh) = manager.refresh {
        run(prefix, manager.program, &[refresh]);
        if install_any(manager, prefix) {
            return Ok(());
        }
    }
    Err(by_hand(manager, "could not be installed"))
}

fn install_any(manager: &PackageManager, prefix: &[&str]) -> bool {
    manager
        .packages
        .iter()
        .any(|package| run(prefix, manager.program, &[manager.install, &[package]].concat()))
}

/// The words in front of the package manager: none for root, `sudo -n` where it asks for no password.
fn root_prefix(manager: &PackageManager) -> Option<&'static [&'static str]> {
    let is_root = || output_of("id", &["-u"]).is_ok_and(|id| id.trim() == "0");
    if !manager.needs_root || is_root() {
        Some(&[])
    } else if succeeds("sudo", &["-n", "true"]) {
        Some(&["sudo", "-n"])
    } else {
        None
    }
}

/// Runs one command in sight of the user and tells whether it ended well.
fn run(prefix: &[&str], program: &str, arguments: &[&str]) -> bool {
    let words = [prefix, &[program], arguments].concat();
    println!("$ {}", words.join(" "));
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn by_hand(manager: &PackageManager, problem: &str) -> String {
    let root = if manager.needs_root { "sudo " } else { "" };
    let install = manager.install.join(" ");
    format!("`{SERVER}` {problem}; type: {root}{} {install} {}", manager.program, manager.packages[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_out_can_be_typed() {
        let message = by_hand(&PACKAGE_MANAGERS[0], "needs root to be installed");
        let line = "sudo apt-get install -y --no-install-recommends redis-server";
        assert_eq!(message, format!("`redis-server` needs root to be installed; type: {line}"));
        assert!(by_hand(&PACKAGE_MANAGERS[4], "is missing").ends_with("type: brew install redis"));
    }

    #[test]
    fn every_package_manager_knows_a_package() {
        assert!(PACKAGE_MANAGERS.iter().all(|manager| !manager.packages.is_empty()));
    }
}
