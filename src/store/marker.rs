//! The mark of a stop on purpose: a file in the state directory with the boot it was made in.
//!
//! Whoever finds the mark of the running boot leaves a daemon that does not run alone. It ends with the boot or the next start.

use std::io::{self, Write};
use std::path::Path;

/// Says that the daemon was stopped on purpose in this boot.
pub fn mark_stopped(path: &Path, boot_id: &[u8; 40]) -> io::Result<()> {
    let new = path.with_extension("new");
    let _ = std::fs::remove_file(&new);
    let mut file = crate::sys::files::create_new(&new)?;
    file.write_all(boot_id)?;
    std::fs::rename(&new, path)
}

/// Takes the mark away; there may be none.
pub fn clear_stopped(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether the daemon was stopped on purpose in this boot.
pub fn is_stopped(path: &Path, boot_id: &[u8; 40]) -> bool {
    std::fs::read(path).is_ok_and(|mark| mark == boot_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_mark_counts_in_its_own_boot_only() {
        let scratch = Scratch::new();
        let path = scratch.join("stopped");
        assert!(!is_stopped(&path, &[b'a'; 40]), "never stopped");
        mark_stopped(&path, &[b'a'; 40]).expect("it can be written");
        assert!(is_stopped(&path, &[b'a'; 40]));
        assert!(!is_stopped(&path, &[b'b'; 40]), "another boot");
        clear_stopped(&path).expect("it can be removed");
        clear_stopped(&path).expect("and removed again");
        assert!(!is_stopped(&path, &[b'a'; 40]));
    }
}
