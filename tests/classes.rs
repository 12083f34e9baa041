//! Class expressions against the table of truths in `fixtures/classes.json`, through the library.

#![allow(clippy::expect_used, clippy::indexing_slicing)]

use serde_json::Value;
use watchd::classes::{compile, eval};

fn table() -> Value {
    serde_json::from_str(include_str!("fixtures/classes.json")).expect("the fixture is JSON")
}

fn words(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

#[test]
fn every_case_has_its_value() {
    let table = table();
    let on = [words(&table["defined"]), words(&table["hard"])].concat();
    let cases = table["cases"].as_array().expect("a list of cases");
    assert!(cases.len() >= 82);
    for case in cases {
        let text = case["expr"].as_str().expect("an expression");
        let mut names = Vec::new();
        let compiled = compile(text, &mut |name, column| {
            assert_eq!(text.chars().skip(column - 1).take(name.len()).collect::<String>(), name, "{text:?}");
            names.push(name.to_owned());
            u16::try_from(names.len() - 1).expect("few names")
        });
        let value = match compiled {
            Ok(ops) => eval(&ops, |class| on.contains(&names[usize::from(class)])).to_string(),
            Err(error) => {
                let end = text.chars().count() + 1;
                assert!((1..=end).contains(&error.column), "{text:?}: column {}", error.column);
                "error".to_owned()
            }
        };
        assert_eq!(value, case["expect"].as_str().expect("a value"), "{text:?}");
    }
}

#[test]
fn a_cut_expression_is_an_expression_or_an_error() {
    let whole = "disk_root_full & !(night | Hr00_06) . (a || b && !!c)";
    for cut in 0..=whole.len() {
        let _ = compile(&whole[..cut], &mut |_, _| 0);
    }
    assert!(compile(whole, &mut |_, _| 0).is_ok());
}
