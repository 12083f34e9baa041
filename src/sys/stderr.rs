//! Standard error, without ever waiting for whoever reads it.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Writes a line of at most a page if it can be taken at once; a pipe or terminal that is full takes nothing.
pub fn write(line: &[u8]) -> io::Result<()> {
    at_once(&mut io::stderr(), line)
}

/// The same to standard output, for what the daemon has to say there.
pub fn write_out(lines: &[u8]) -> io::Result<()> {
    at_once(&mut io::stdout(), lines)
}

fn at_once<W: Write + AsFd>(out: &mut W, bytes: &[u8]) -> io::Result<()> {
    let ready = poll(&mut [PollFd::new(out.as_fd(), PollFlags::POLLOUT)], PollTimeout::ZERO)?;
    if ready == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    out.write_all(bytes)
}

/// Says a line of words to whoever started us. Words that a full disk or a closed pipe does not take are lost, not a reason to end.
pub fn say(words: fmt::Arguments<'_>) {
    let mut line = words.to_string();
    line.push('\n');
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Whether standard error goes to the file of this name.
pub fn is(path: &Path) -> bool {
    let Ok(own) = io::stderr().as_fd().try_clone_to_owned().and_then(|stderr| File::from(stderr).metadata()) else {
        return false;
    };
    path.symlink_metadata().is_ok_and(|named| named.is_file() && (named.dev(), named.ino()) == (own.dev(), own.ino()))
}

/// Sends standard error to this file from now on.
pub fn replace(file: &File) -> io::Result<()> {
    Ok(nix::unistd::dup2_stderr(file)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_file_that_is_not_behind_standard_error_is_told_from_it() {
        let scratch = Scratch::new();
        let path = scratch.join("said");
        std::fs::write(&path, "mine").expect("a file can be written");
        assert!(!is(&path) && !is(Path::new("/nonexistent")));
    }
}
