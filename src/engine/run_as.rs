//! `run-as`: root becomes an ordinary account before it opens anything, where nothing in the policy needs root.
//!
//! The state directory says who. At the first start root gives it and the run directory away and becomes their owner; at each later one, by
//! hand or from cron, root becomes its owner before it looks at anything there. So all that is made and written in them is by the
//! account's own rights, and a link that the account has put there leads nowhere it could not go itself.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::model::Places;
use crate::sys::accounts::{self, Account};
use crate::sys::{drop, files, locks, memory, trust};

/// Becomes the account that the state directory was given to. Does nothing where we are no root, where it is root's, and where somebody
/// else could have put it there: that is refused when it is opened. Gives whom root became.
pub fn become_owner(places: &Places) -> Result<Option<Account>, String> {
    let found = fs::symlink_metadata(&places.state_dir);
    let Some(uid) = found.ok().filter(fs::Metadata::is_dir).map(|found| found.uid()).filter(|uid| *uid != 0) else {
        return Ok(None);
    };
    if !nix::unistd::geteuid().is_root() || !matches!(trust::exposure_above(&places.state_dir), Ok(None)) {
        return Ok(None);
    }
    let account = accounts::user(&uid.to_string())
        .map_err(|fault| format!("cannot become the owner of {}: {fault}", places.state_dir.display()))?;
    match fs::symlink_metadata(&places.run_dir) {
        // A start by root's own hand has left it; a watchd that runs there keeps it.
        Ok(found) if found.is_dir() && found.uid() == 0 => {
            if matches!(trust::exposure_above(&places.run_dir), Ok(None))
                && let Ok(Some(_lock)) = locks::lock_dir(&places.run_dir)
            {
                give(&places.run_dir, &account)?;
            }
        }
        Ok(_) => {}
        Err(_) => {
            // After each boot it is missing.
            files::own_dir(&places.run_dir)
                .and_then(|()| files::give(&places.run_dir, account.uid, account.gid))
                .map_err(|error| format!("cannot make {}: {error}", places.run_dir.display()))?;
        }
    }
    become_account(&account)?;
    Ok(Some(account))
}

/// Follows the policy's `run-as`: root becomes that account now. `became` is whom root became by what it found.
pub fn follow(places: &Places, wanted: Option<&str>, became: Option<&Account>) -> Result<(), String> {
    let is_root = nix::unistd::geteuid().is_root();
    match (wanted, became) {
        (None, None) => Ok(()),
        (None, Some(account)) => Err(format!(
            "cannot run as root: {} was given to {}; write run-as = \"{}\" into [watchd], or chown -R root it",
            places.state_dir.display(),
            account.name,
            account.name
        )),
        (Some(name), became) => {
            let account = accounts::user(name).map_err(|fault| format!("cannot follow run-as: {fault}"))?;
            if is_root {
                // First what says who we are: a start that ends between the two finds the run directory left over.
                give(&places.state_dir, &account)?;
                give(&places.run_dir, &account)?;
                return become_account(&account);
            }
            let uid = nix::unistd::geteuid().as_raw();
            if uid == account.uid {
                return Ok(());
            }
            let owner = became.map_or_else(String::new, |_| format!(", which owns {}", places.state_dir.display()));
            Err(format!(
                "cannot run as {name}: this is account {uid}{owner}; start it as root or as {name}, \
                 with directories of root's or its own"
            ))
        }
    }
}

fn give(dir: &Path, account: &Account) -> Result<(), String> {
    files::give(dir, account.uid, account.gid)
        .map_err(|error| format!("cannot give {} to {}: {error}", dir.display(), account.name))
}

fn become_account(account: &Account) -> Result<(), String> {
    // The last that only root can do for us; what we start is not spared.
    memory::spare_from_oom();
    let groups = accounts::groups_of(&account.name, account.gid)
        .map_err(|fault| format!("cannot find the groups of {}: {fault}", account.name))?;
    drop::become_account(account.uid, account.gid, &groups)
        .map_err(|error| format!("cannot become {}: {error}", account.name))
}
