//! A program that reads one file and writes another. It ends when we do.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Runs it to its end; true when it says that all went well.
pub fn filter(program: &str, input: File, output: File) -> io::Result<bool> {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::from(input)).stdout(Stdio::from(output)).stderr(Stdio::null());
    let parent = std::process::id();
    // SAFETY: between fork and exec only system calls are made.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
            let is_ours = u32::try_from(nix::unistd::getppid().as_raw()).is_ok_and(|pid| pid == parent);
            if is_ours { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
        })
    };
    Ok(command.status()?.success())
}
