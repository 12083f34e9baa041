//! The policy as it is written now: what the board does not carry, for those who ask about groups or how a service is kept.
//!
//! It is read from the file that the daemon uses, so that no option has to be repeated. Where the daemon refused that file, or
//! it is not ours to read, nothing is told from it.

use std::path::PathBuf;

use watchd_probes::inventory::Inventory;

use crate::engine::policy::{self, Policy};
use crate::model::Places;
use crate::store::Header;
use crate::store::board::text;

/// Reads it again; the text says why that cannot be done.
pub fn policy(places: &Places, header: &Header) -> Result<Policy, String> {
    let file = text(&header.config_file);
    if header.config_ok != 1 {
        return Err(format!("the policy in {file} was changed and refused"));
    }
    let config = (!file.is_empty()).then(|| PathBuf::from(file));
    let places = Places { config, ..places.clone() };
    policy::load(&places, &Inventory::take())
        .map(|(policy, _)| policy)
        .map_err(|faults| faults.first().map_or_else(|| "cannot read the policy".to_owned(), ToString::to_string))
}

/// The names with each `@TAG` replaced by the services that have it; an error names the tag that nothing has.
pub fn spread(names: &[String], places: &Places, header: &Header) -> Result<Vec<String>, String> {
    if !names.iter().any(|name| name.starts_with('@')) {
        return Ok(names.to_vec());
    }
    let policy = policy(places, header)?;
    let mut spread = Vec::new();
    for name in names {
        let Some(tag) = name.strip_prefix('@') else {
            spread.push(name.clone());
            continue;
        };
        let tagged = policy.services.iter().filter(|service| service.care.tags.iter().any(|own| own == tag));
        let before = spread.len();
        spread.extend(tagged.map(|service| service.id.clone()));
        if spread.len() == before {
            return Err(format!("no service is of group `{}`", tag.escape_debug()));
        }
    }
    Ok(spread)
}
