//! The file, and the lock by which one process has it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use scheduler_core::{Error, Result};

/// As long as it lives, no other process opens the store. The kernel frees it when the process ends, however it does.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    /// What the file was when it was opened.
    identity: Option<(u64, u64)>,
    _file: File,
}

impl Lock {
    /// Whether there is another file in place of the store, or none. SQLite would go on in a file that nobody finds any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.identity.is_some() && identity(&self.path) != self.identity
    }
}

/// The number of a file on its device, where there are such numbers.
fn identity(path: &Path) -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        path.metadata().ok().map(|file| (file.dev(), file.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// For its owner only.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes the file if it is not there, and takes its lock.
pub(crate) fn take(path: &Path) -> Result<Lock> {
    let place = path.display();
    let cannot = |error: std::io::Error| {
        Error::config(format!(
            "the job store in `{place}` cannot be opened: {error}; make sure that its folder is there and can be written"
        ))
        .caused_by(error)
    };
    let mut lock = options().open(beside(path)).map_err(cannot)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            lock.read_to_string(&mut owner).ok();
            let owner = owner.trim();
            return Err(Error::conflict(format!(
                "process {owner} has the job store in `{place}` open, and one process has it at a time; end that one, or use another file"
            )));
        }
        Err(TryLockError::Error(error)) => return Err(cannot(error)),
    }
    options().open(path).map_err(cannot)?;
    lock.set_len(0).and_then(|()| lock.rewind()).map_err(cannot)?;
    writeln!(lock, "{}", std::process::id()).map_err(cannot)?;
    Ok(Lock { path: path.to_owned(), identity: identity(path), _file: lock })
}
