//! The page for people in a real browser: it shows the host, draws every graph, turns red and green with a service, fits a phone,
//! can be read in both schemes, asks nobody else for anything, and its console stays empty.

use std::collections::BTreeSet;

use super::chromium::Chromium;
use super::{Told, find};
use crate::harness::skip;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The contrast of each text with what stands behind it, by the formula of WCAG 2; gives those below 4.5.
const CONTRAST: &str = r##"(() => {
  const parse = text => { const n = (text.match(/[\d.]+/g) || []).map(Number); return n.length < 3 ? null : [n[0], n[1], n[2], n[3] ?? 1]; };
  const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c && c[3] === 1) return c; } return [255, 255, 255, 1]; };
  const bad = [];
  let seen = 0;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, style = getComputedStyle(e);
    if (!walk.currentNode.data.trim() || !e.getClientRects().length || ["SCRIPT", "NOSCRIPT", "OPTION", "TITLE"].includes(e.tagName)) continue;
    const ink = parse(style.color), paper = behind(e), a = light(ink.slice(0, 3)), b = light(paper.slice(0, 3));
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    seen++;
    if (contrast < 4.5) bad.push(`${walk.currentNode.data.trim().slice(0, 30)}: ${contrast.toFixed(2)} ${style.color} on ${paper}`);
  }
  return { seen, bad };
})()"##;

/// What reaches beyond the right edge.
const TOO_WIDE: &str = "[...document.querySelectorAll('body *')].filter(e => !e.closest('.skip') && e.getClientRects().length && \
    !(e.closest('thead') && innerWidth < 900) && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + '.' + e.className)";

/// Graphs in which something is drawn: a canvas that is not of one colour.
const DRAWN: &str = "[...document.querySelectorAll('.plot')].filter(plot => { const c = plot.querySelector('canvas'); if (!c) return false; \
    const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; const s = new Set(); \
    for (let i = 0; i < d.length; i += 4) s.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]); return s.size > 3; }).length";

#[test]
fn a_browser_shows_the_host_and_how_it_changes() {
    let Some(program) = find("chromium") else { return skip("there is no chromium") };
    let told = Told::new("browser");
    let mut daemon = told.start();
    let host =
        daemon.snapshot().map(|page| watchd::store::board::text(&page.header.host).to_owned()).unwrap_or_default();
    let url = format!("http://127.0.0.1:{}/", told.http);
    let mut browser = Chromium::start(&program, &told.home.scratch);

    for (size, scheme) in
        [((1600, 1000), "light"), ((360, 800), "dark"), ((768, 1000), "light"), ((1600, 1000), "dark")]
    {
        browser.show(&url, size, scheme);
        browser.wait("the page", "document.readyState === 'complete' && document.querySelectorAll('.plot').length > 5");
        browser.wait(
            "every graph",
            "(([a, b]) => a === b && a > 5)((document.documentElement.dataset.graphs || '0/1').split('/').map(Number))",
        );
        let plots = browser.value("document.querySelectorAll('.plot').length");
        browser.wait(&format!("{plots} graphs in {scheme}"), &format!("{DRAWN} === {plots}"));
        let wide = browser.value(TOO_WIDE);
        assert_eq!(wide, serde_json::json!([]), "{size:?}");
        assert_eq!(
            browser.value("document.documentElement.scrollWidth <= innerWidth"),
            true,
            "{size:?} scrolls sideways"
        );
        let contrast = browser.value(CONTRAST);
        assert_eq!(contrast["bad"], serde_json::json!([]), "{size:?} {scheme}");
        assert!(contrast["seen"].as_u64().is_some_and(|seen| seen > 60), "{contrast}");
        assert_eq!(browser.value("document.querySelector('h1').textContent"), host.as_str());
    }
    // What a screen reader and a keyboard have to go by.
    for needed in [
        "document.querySelectorAll('button').length === [...document.querySelectorAll('button')].filter(b => (b.getAttribute('aria-label') || b.textContent).trim()).length",
        "[...document.querySelectorAll('.plot, td.strip svg')].every(e => e.getAttribute('role') === 'img' && e.getAttribute('aria-label').length > 8)",
        "document.querySelectorAll('th:not([scope])').length === 0 && document.documentElement.lang === 'en'",
        "document.querySelectorAll('main').length === 1 && document.querySelector('#verdict').getAttribute('role') === 'status'",
    ] {
        assert_eq!(browser.value(needed), true, "{needed}");
    }

    let is = |state: &str, tone: &str| {
        format!(
            "(row => row.querySelector('.pill').textContent === '{state}' && row.querySelector('.pill').classList.contains('{tone}'))(document.querySelector('[data-id=moody]'))"
        )
    };
    browser.wait("a service that is ready", &is("ready", "good"));
    // Stopped on purpose it is neither; killed again and again before it has settled it waits; then it is well again.
    browser.value("document.querySelector('[data-id=moody] button').click()");
    browser.wait("what led to it", "document.querySelectorAll('tr.more li').length > 0");
    let pid = daemon.wait_state("moody", watchd::model::ServiceState::Ready).pid;
    told.home.scratch.write("refuse", "");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
    browser.wait("a dead service", "(pill => pill.classList.contains('bad') || pill.classList.contains('warn'))(document.querySelector('[data-id=moody] .pill'))");
    browser.wait("a red strip", "document.querySelector('[data-id=moody] td.strip rect.bad') !== null");
    assert_eq!(browser.value("document.querySelectorAll('tr.more').length"), 1, "what was opened stays open");
    std::fs::remove_file(told.home.scratch.path("refuse")).expect("it is there");
    browser.wait("a service that is well again", &is("ready", "good"));
    drop(daemon);
    browser.wait(
        "a warning that nothing is fresh",
        "!document.querySelector('#notice').hidden && document.querySelector('#top').classList.contains('bad')",
    );

    let asked: BTreeSet<String> = browser
        .about("Network.requestWillBeSent")
        .iter()
        .filter_map(|told| told["request"]["url"].as_str().map(str::to_owned))
        .filter(|asked| !asked.starts_with(&url) && !asked.starts_with("about:"))
        .collect();
    assert!(asked.is_empty(), "asked elsewhere: {asked:?}");
    let complaints: Vec<String> = ["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"]
        .iter()
        .flat_map(|method| browser.about(method))
        .map(ToString::to_string)
        // That the daemon is gone was our doing.
        .filter(|line| !line.contains("ERR_CONNECTION") && !line.contains("ERR_EMPTY_RESPONSE"))
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn the_page_is_whole_without_its_script() {
    let Some(program) = find("chromium") else { return skip("there is no chromium") };
    let told = Told::new("noscript");
    let _daemon = told.start();
    let mut browser = Chromium::start(&program, &told.home.scratch);
    browser.ask("Emulation.setScriptExecutionDisabled", &serde_json::json!({"value": true}));
    browser.show(&format!("http://127.0.0.1:{}/", told.http), (360, 800), "light");
    let text = "(document.body?.innerText || '')";
    browser.wait(
        "the tables",
        &format!("{text}.includes('stamper') && {text}.includes('ready') && {text}.includes('broken')"),
    );
    browser.wait("pictures", "[...document.querySelectorAll('noscript img')].length > 2 && [...document.querySelectorAll('noscript img')].slice(0, 2).every(i => i.complete && i.naturalWidth > 100)");
    assert_eq!(browser.value("document.documentElement.scrollWidth <= innerWidth"), true, "it scrolls sideways");
}
