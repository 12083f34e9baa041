//! The page for people in a real browser: it shows the host, draws every graph, turns red and green with a service, fits a phone,
//! can be read in both schemes, asks nobody else for anything, and its console stays empty.

use std::collections::BTreeSet;

use super::chromium::Chromium;
use super::{Told, find};
use crate::harness::{past, skip};
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

/// Each graph has got its answer, and is drawn.
const ALL_DRAWN: &str =
    "(([a, b]) => a === b && a > 5)((document.documentElement?.dataset.graphs || '0/1').split('/').map(Number))";

/// The newest value of each line lies within its graph.
const ON_SCALE: &str = "[...document.querySelectorAll('.plot canvas')].every(canvas => { const { scale, newest } = canvas.closest('.plot').dataset; \
    const [low, high] = scale.split(' ').map(Number); return newest.split(' ').map(Number).every(value => low <= value && value <= high); })";

/// Graphs in which something is drawn: a canvas that is not of one colour.
const DRAWN: &str = "[...document.querySelectorAll('.plot')].filter(plot => { const c = plot.querySelector('canvas'); if (!c) return false; \
    const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; const s = new Set(); \
    for (let i = 0; i < d.length; i += 4) s.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]); return s.size > 3; }).length";

/// Graphs with such keys, without a pixel of the band of one of their lines: what a translucent fill leaves on an empty canvas, or on
/// what is usual.
const WITHOUT_BAND: &str = "[...document.querySelectorAll('figure')].filter(f => f.querySelector('.plot canvas') && /^(Load|Netw|Disk)/.test(f.querySelector('b').textContent)).flatMap(f => { \
    const keys = f.querySelector('figcaption').querySelectorAll('KEYS'), c = f.querySelector('canvas'), root = getComputedStyle(document.documentElement), \
    d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data, ink = name => root.getPropertyValue(name).match(/[\\d.]+/g).map(Number), under = ink('--learned'); \
    return [...keys].map((_, n) => n).filter(n => { \
        const band = ink(`--b${n}`), a = band[3] + under[3] * (1 - band[3]); \
        const over = [0, 1, 2].map(i => (band[i] * band[3] + under[i] * under[3] * (1 - band[3])) / a).concat(a); \
        const is = (i, [r, g, b, a]) => Math.abs(d[i + 3] - a * 255) < 3 && Math.abs(d[i] - r) < 9 && Math.abs(d[i + 1] - g) < 9 && Math.abs(d[i + 2] - b) < 9; \
        for (let i = 0; i < d.length; i += 4) if (is(i, band) || is(i, over)) return false; \
        return true; \
    }).map(n => f.querySelector('b').textContent + ' ' + n); })";

/// Titles stand on one line where the graphs below them do.
const LEVEL: &str = "(all => all.every(one => all.every(other => one.plot !== other.plot || one.title === other.title)))(\
    [...document.querySelectorAll('figure')].map(f => ({ plot: f.querySelector('.plot').getBoundingClientRect().top, title: f.querySelector('b').getBoundingClientRect().top })))";

/// No name is so long that a phone has to scroll sideways for it.
fn assert_narrow(browser: &mut Chromium, url: &str, scheme: &str) {
    for place in [
        "h1",
        "#verdict",
        "#services .name",
        "#services .why",
        "#disks th span",
        "#disks .why",
        "figcaption b",
        ".key",
        "#promises th",
        ".chips li",
        "#events td:nth-child(2)",
        "#events td:nth-child(3)",
        "footer p",
    ] {
        let long = format!(
            "(e => {{ e.textContent = 'a-long-name/'.repeat(9) + 'x'.repeat(60); return document.documentElement.scrollWidth <= innerWidth; }})(document.querySelector('{place}'))"
        );
        assert_eq!(browser.value(&long), true, "{place} scrolls sideways");
    }
    browser.show(url, (360, 900), scheme);
    browser.wait("every graph again", ALL_DRAWN);
}

/// Who presses faster than graphs are drawn costs the door a few questions, and looks closer at now.
fn assert_hurried(browser: &mut Chromium) {
    let asked = |browser: &Chromium| -> Vec<String> {
        let all = browser.about("Network.requestWillBeSent");
        let urls = all.iter().filter_map(|told| told["request"]["url"].as_str());
        urls.filter(|url| url.contains("/api/history?metric=")).map(str::to_owned).collect()
    };
    browser.value("document.querySelector('[data-range=\"604800\"]').click()");
    browser.wait("a week", ALL_DRAWN);
    let before = asked(browser).len();
    browser.value("for (let i = 0; i < 20; i++) document.querySelector('[aria-label=\"Zoom in\"]').click()");
    browser.wait("the closest look", ALL_DRAWN);
    let asked = asked(browser);
    let lines = browser.value("document.querySelectorAll('figure .key:not(.l)').length").as_u64().expect("a number");
    let questions = asked.len() - before;
    assert!((lines..lines + 4).contains(&(questions as u64)), "{questions} questions for {lines} lines");
    let last = asked.last().expect("there was one");
    let number = |key: &str| {
        let (_, rest) = last.split_once(&format!("&{key}=")).expect("it is said");
        rest.split('&').next().and_then(|text| text.parse::<u64>().ok()).expect("a number")
    };
    let now = watchd::sys::clock::now().wall.as_secs();
    assert!(number("to") + 120 > now && number("to") - number("from") < 120, "{last} at {now}");
    browser.value("document.querySelector('[data-range=\"604800\"]').click()");
    browser.wait("a week again", ALL_DRAWN);
}

/// Of several lines one can be chosen: its band alone is drawn, with what is usual for it, and the others fade.
fn assert_chosen(browser: &mut Chromium) {
    browser.value("document.querySelector('[data-range=\"86400\"]').click()");
    browser.wait("a day", ALL_DRAWN);
    let first = "[...document.querySelectorAll('figure')].find(f => f.querySelector('b').textContent === 'Processors')";
    let usual = format!("{first}.querySelector('.key.l').textContent");
    assert!(
        browser.value(&usual).as_str().is_some_and(|text| text.starts_with("usual user ")),
        "{}",
        browser.value(&usual)
    );
    assert_eq!(browser.value(&format!("{first}.querySelector('.plot').dataset.bands")), "3");
    browser.value(&format!("{first}.querySelectorAll('button.key')[1].click()"));
    assert_eq!(browser.value(&format!("{first}.querySelector('.plot').dataset.bands")), "1");
    assert!(
        browser.value(&usual).as_str().is_some_and(|text| text.starts_with("usual system ")),
        "{}",
        browser.value(&usual)
    );
    let pressed =
        format!("[...{first}.querySelectorAll('button.key')].map(key => key.getAttribute('aria-pressed')).join()");
    assert_eq!(browser.value(&pressed), "false,true,false");
    for (title, line) in [("Network eth0", 0), ("Network eth0", 1)] {
        let place = format!(
            "[...document.querySelectorAll('figure')].find(f => f.querySelector('b').textContent === '{title}')"
        );
        let press = format!("{place}.querySelectorAll('button.key')[{line}].click()");
        browser.value(&press);
        let bare = browser.value(&WITHOUT_BAND.replace("KEYS", "button.key"));
        assert!(
            !bare.as_array().expect("a list").contains(&format!("{title} {line}").into()),
            "{title} {line}: {bare}"
        );
        assert_eq!(browser.value(&format!("{place}.querySelector('.plot').dataset.bands")), "1");
        browser.value(&press);
    }
    browser.value(&format!("{first}.querySelectorAll('button.key')[1].click()"));
    assert_eq!(browser.value(&pressed), "false,false,false");
    assert_eq!(browser.value(&format!("{first}.querySelector('.plot').dataset.bands")), "3");
}

#[test]
fn a_browser_shows_the_host_and_how_it_changes() {
    let Some(program) = find("chromium") else { return skip("there is no chromium") };
    let told = Told::new("browser");
    past::write(&told.home.scratch.path("state"), 21);
    let mut daemon = told.start();
    let host =
        daemon.snapshot().map(|page| watchd::store::board::text(&page.header.host).to_owned()).unwrap_or_default();
    let url = format!("http://127.0.0.1:{}/", told.http);
    let mut browser = Chromium::start(&program, &told.home.scratch);

    for (size, scheme) in
        [1600, 360, 768, 1240].into_iter().flat_map(|width| [((width, 900), "light"), ((width, 900), "dark")])
    {
        browser.show(&url, size, scheme);
        browser.wait("the page", "document.readyState === 'complete' && document.querySelectorAll('.plot').length > 5");
        browser.wait("every graph", ALL_DRAWN);
        let plots = browser.value("document.querySelectorAll('.plot').length");
        browser.wait(&format!("{plots} graphs in {scheme}"), &format!("{DRAWN} === {plots}"));
        let wide = browser.value(TOO_WIDE);
        assert_eq!(wide, serde_json::json!([]), "{size:?}");
        assert_eq!(
            browser.value("document.documentElement.scrollWidth <= innerWidth"),
            true,
            "{size:?} scrolls sideways"
        );
        if size.0 == 360 {
            assert_narrow(&mut browser, &url, scheme);
        }
        let contrast = browser.value(CONTRAST);
        assert_eq!(contrast["bad"], serde_json::json!([]), "{size:?} {scheme}");
        assert!(contrast["seen"].as_u64().is_some_and(|seen| seen > 60), "{contrast}");
        assert_eq!(browser.value("document.querySelector('h1').textContent"), host.as_str());
        browser.value("document.querySelector('[data-range=\"86400\"]').click()");
        browser.wait("a day", ALL_DRAWN);
        // Load, memory and the file system of / were learned.
        let known = "[...document.querySelectorAll('.plot')].filter(plot => plot.dataset.usual > 90).length";
        assert!(browser.value(known).as_u64().is_some_and(|known| known >= 3), "{}", browser.value(known));
        browser.wait("that the newest values are on the scale", ON_SCALE);
        // From least to most behind each line, also where there are several.
        assert_eq!(
            browser.value(&WITHOUT_BAND.replace("KEYS", "span.key.c0")),
            serde_json::json!([]),
            "{size:?} {scheme}"
        );
        let banded = "[...document.querySelectorAll('figure')].every(f => +f.querySelector('.plot').dataset.bands === f.querySelectorAll('.key:not(.l)').length)";
        assert_eq!(browser.value(banded), true, "{size:?} {scheme}");
        assert_eq!(browser.value(LEVEL), true, "{size:?}: titles of graphs side by side stand on one line");
        let calm = "document.querySelector('#classes ul').textContent.includes('_ok')";
        assert_eq!(browser.value(calm), false, "what is as it should be does not stand out");
        let unknown = "[...document.querySelectorAll('figure .key')].map(key => key.textContent).filter(text => text.endsWith('–'))";
        assert_eq!(browser.value(unknown), serde_json::json!([]), "what was never measured has no line");
        browser.picture(&format!("{}-{scheme}", size.0));
    }
    // From an hour to two years, and closer by hand.
    for range in [3600, 6 * 3600, 86_400, 7 * 86_400, 35 * 86_400, 365 * 86_400, 730 * 86_400] {
        let button = format!("document.querySelector('[data-range=\"{range}\"]')");
        browser.value(&format!("{button}.click()"));
        browser
            .wait(&format!("{range} s"), &format!("{button}.getAttribute('aria-pressed') === 'true' && {ALL_DRAWN}"));
    }
    browser.value("document.querySelector('[aria-label=\"Zoom in\"]').click()");
    browser.wait(
        "a closer look",
        &format!("document.querySelector('[data-range][aria-pressed=true]') === null && {ALL_DRAWN}"),
    );
    assert_hurried(&mut browser);
    assert_chosen(&mut browser);
    assert_light(&mut browser, &url);
    assert_keyboard(&mut browser);
    assert_heard(&mut browser);
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
        // That the daemon is gone was our doing, and so is looking at pixels.
        .filter(|line| !line.contains("willReadFrequently"))
        .filter(|line| !line.contains("ERR_CONNECTION") && !line.contains("ERR_EMPTY_RESPONSE"))
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// All that came over the wire for a page with every graph, as it came: packed.
fn assert_light(browser: &mut Chromium, url: &str) {
    browser.ask("Network.setCacheDisabled", &serde_json::json!({"cacheDisabled": true}));
    let before = browser.told.len();
    browser.show(url, (1600, 1000), "light");
    browser.wait("the page", ALL_DRAWN);
    browser.ask("Network.setCacheDisabled", &serde_json::json!({"cacheDisabled": false}));
    let told = &browser.told[before..];
    let path = |id: &serde_json::Value| {
        let request = told
            .iter()
            .find(|told| told["method"] == "Network.requestWillBeSent" && told["params"]["requestId"] == *id);
        request.and_then(|told| told["params"]["request"]["url"].as_str()).unwrap_or_default().to_owned()
    };
    let (mut page, mut past) = (0.0, 0.0);
    for end in told.iter().filter(|told| told["method"] == "Network.loadingFinished") {
        let length = end["params"]["encodedDataLength"].as_f64().unwrap_or(0.0);
        *if path(&end["params"]["requestId"]).contains("/api/history?") { &mut past } else { &mut page } += length;
    }
    eprintln!("the page is {page} bytes, what its graphs show {past}");
    assert!(page > 30_000.0 && page + past < 120_000.0, "{page} and {past}");
}

/// Tab goes through everything that can be pressed, in the order in which it stands, and shows where it is; Return presses.
fn assert_keyboard(browser: &mut Chromium) {
    let key = |kind: &str, key: &str, code: u32, browser: &mut Chromium| {
        let text = if key == "Enter" && kind == "keyDown" { "\r" } else { "" };
        let event =
            serde_json::json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
        browser.ask("Input.dispatchKeyEvent", &event);
    };
    browser.value("window.stops = [], document.activeElement.blur(), scrollTo(0, 0)");
    let wanted = browser.value("[...document.querySelectorAll('a, button, select, summary')].filter(e => e.getClientRects().length || e.className === 'skip').length");
    let wanted = wanted.as_u64().expect("a number");
    for _ in 0..wanted {
        key("keyDown", "Tab", 9, browser);
        key("keyUp", "Tab", 9, browser);
        browser.value("(e => stops.push([e.tagName, e.textContent, getComputedStyle(e).outlineStyle, e.getBoundingClientRect().width > 0, [...document.querySelectorAll('a, button, select, summary')].indexOf(e)]))(document.activeElement)");
    }
    let stops = browser.value("stops");
    let stops = stops.as_array().expect("a list");
    assert_eq!(stops[0][1], "Skip to the services");
    let places: Vec<i64> = stops.iter().filter_map(|stop| stop[4].as_i64()).collect();
    assert!(places.windows(2).all(|two| two[0] < two[1]) && places[0] == 0, "{stops:?}");
    assert!(stops.iter().all(|stop| stop[2] != "none" && stop[3] == true), "{stops:?}");
    browser.value("document.querySelector('[data-id=moody] button').focus()");
    key("keyDown", "Enter", 13, browser);
    key("keyUp", "Enter", 13, browser);
    browser.wait("what a key opens", "document.querySelectorAll('tr.more li').length > 0 && document.activeElement.getAttribute('aria-expanded') === 'true'");
    key("keyDown", "Enter", 13, browser);
    key("keyUp", "Enter", 13, browser);
    browser.wait("what a key closes", "document.querySelectorAll('tr.more').length === 0");
}

/// What a screen reader is told: each thing that can be pressed or that is a picture has a name, and the parts of the page are parts.
fn assert_heard(browser: &mut Chromium) {
    let tree = browser.ask("Accessibility.getFullAXTree", &serde_json::json!({}));
    let nodes = tree["nodes"].as_array().expect("nodes");
    let of = |node: &serde_json::Value, what: &str| node[what]["value"].as_str().unwrap_or_default().to_owned();
    let heard: Vec<(String, String)> =
        nodes.iter().filter(|node| node["ignored"] == false).map(|node| (of(node, "role"), of(node, "name"))).collect();
    let count = |role: &str| heard.iter().filter(|(other, _)| other == role).count();
    assert_eq!((count("main"), count("banner"), count("contentinfo")), (1, 1, 1));
    for role in ["button", "link", "combobox", "img", "image", "meter", "region"] {
        let silent = heard.iter().filter(|(other, name)| other == role && name.trim().is_empty()).count();
        assert_eq!(silent, 0, "{role} without a name");
    }
    assert!(count("region") >= 5 && count("heading") > count("region"), "{heard:?}");
    assert!(count("columnheader") >= 10 && count("rowheader") >= 4, "tables have heads");
    assert_eq!(count("status"), 1);
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
