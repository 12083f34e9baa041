//! A report as its channels want it: a mail with its head, a line for the system log, an object of JSON.
//!
//! A text is anybody's: names of files and outputs of programs stand in it. Nothing of it can end a line of the head, begin
//! another one, or name a receiver.

use crate::store::outbox::Letter;
use crate::sys::clock::Civil;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// Bytes of a subject; the whole text is in the body.
const SUBJECT: usize = 120;
/// Bytes in one encoded word: 75 letters are allowed, 12 of them are its frame.
const WORD: usize = 45;

/// A whole mail. `lines` are those of a digest; `when` is in universal time.
pub fn mail((letter, lines): (&Letter, &str), to: &str, host: &str, when: Civil) -> String {
    let subject = format!("{host}: {}", letter.text);
    let date = format!(
        "{}, {} {} {:04} {:02}:{:02}:{:02} +0000",
        name(&DAYS, when.weekday),
        when.day,
        name(&MONTHS, when.month.wrapping_sub(1)),
        when.year,
        when.hour,
        when.minute,
        when.second
    );
    let late =
        if letter.tries > 0 { format!("\n\nSent after {} failed attempts.", letter.tries) } else { String::new() };
    let lines = if lines.is_empty() { String::new() } else { format!("{lines}\n") };
    format!(
        "From: watchd <root>\nTo: {to}\nSubject: {}\nDate: {date}\nMIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\nAuto-Submitted: auto-generated\n\n\
         {}{late}\n\n{lines}-- \n{} on {}\n",
        header(&subject),
        body(&letter.text),
        if letter.report.is_empty() { "digest".to_owned() } else { format!("report {}", body(&letter.report)) },
        body(host)
    )
}

/// A line for the system log, of the facility for daemons. `when` is where the host is.
pub fn line(letter: &Letter, pid: u32, when: Civil) -> String {
    /// Facility 3, severity 4: a warning; severity 5: a notice.
    const WARNING: u8 = 3 * 8 + 4;
    const NOTICE: u8 = 3 * 8 + 5;
    let priority = if letter.is_over { NOTICE } else { WARNING };
    format!("<{priority}>{} watchd[{pid}]: report {}: {}", stamp(when), body(&letter.report), body(&letter.text))
}

/// The time as the system log has it: `Feb 29 12:34:56`.
pub fn stamp(when: Civil) -> String {
    let Civil { day, hour, minute, second, .. } = when;
    format!("{} {day:2} {hour:02}:{minute:02}:{second:02}", name(&MONTHS, when.month.wrapping_sub(1)))
}

/// An object of JSON. `when` is in universal time.
pub fn json((letter, lines): (&Letter, &str), host: &str, when: Civil) -> String {
    let mut object = serde_json::json!({
        "host": host,
        "report": letter.report,
        "text": letter.text,
        "over": letter.is_over,
        "at": format!("{when}Z"),
    });
    if let Some(fields) = object.as_object_mut().filter(|_| !lines.is_empty()) {
        fields.insert("lines".to_owned(), lines.lines().collect());
    }
    format!("{object}\n")
}

fn name<const N: usize>(names: &[&'static str; N], number: u8) -> &'static str {
    names.get(usize::from(number)).copied().unwrap_or("Jan")
}

/// One line, whatever was in it.
fn body(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// A text as the value of a header: as it is when it is plain, else in encoded words.
fn header(text: &str) -> String {
    let line = body(text);
    let line = line.get(..line.floor_char_boundary(SUBJECT)).unwrap_or_default();
    if line.is_ascii() && !line.contains("=?") {
        return line.to_owned();
    }
    let mut words = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(WORD));
        words.push(format!("=?UTF-8?B?{}?=", base64(word.as_bytes())));
        rest = after;
    }
    words.join("\n ")
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = usize::try_from(bits >> (18 - 6 * place) & 63).ok().and_then(|six| LETTERS.get(six));
            let is_there = usize::try_from(place).is_ok_and(|place| place <= three.len());
            text.push(letter.filter(|_| is_there).map_or('=', |letter| char::from(*letter)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHEN: Civil = Civil { year: 2026, month: 3, day: 1, weekday: 6, hour: 7, minute: 0, second: 59 };

    fn letter(text: &str) -> Letter {
        Letter {
            report: "disk".into(),
            channel: "syslog".into(),
            text: text.into(),
            wall_ms: 1,
            tries: 0,
            is_over: false,
        }
    }

    /// The head of a mail, its folded lines joined.
    fn head(mail: &str) -> Vec<(String, String)> {
        let head = mail.split("\n\n").next().expect("there is a head").replace("\n ", " ");
        head.lines()
            .map(|line| line.split_once(": ").expect("each line is a header"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn a_mail_has_the_head_of_a_mail_whatever_the_text() {
        for text in [
            "/ is 95% full",
            "a\nBcc: all@example.org\n\nbody",
            "a\r\nTo: x",
            "\0\u{85}",
            "=?UTF-8?B?QmNjOg==?=",
            "übervoll: Größe \u{2028}",
            &"ü".repeat(256),
            &"x".repeat(512),
            "",
        ] {
            let mail = mail((&letter(text), ""), "root", "höst\nBcc: x", WHEN);
            let names: Vec<String> = head(&mail).into_iter().map(|(name, _)| name).collect();
            assert_eq!(
                names,
                [
                    "From",
                    "To",
                    "Subject",
                    "Date",
                    "MIME-Version",
                    "Content-Type",
                    "Content-Transfer-Encoding",
                    "Auto-Submitted"
                ],
                "{text:?}"
            );
            assert!(mail.lines().all(|line| line.len() < 900), "{text:?}");
            let head = mail.split("\n\n").next().unwrap_or_default();
            assert!(head.is_ascii() && head.lines().all(|line| line.len() <= 140 && !line.contains('\r')), "{mail}");
        }
        let mail = mail((&letter("full"), ""), "root@example.org", "box", WHEN);
        let head = head(&mail);
        assert_eq!(head[1].1, "root@example.org");
        assert_eq!(head[2].1, "box: full");
        assert_eq!(head[3].1, "Sun, 1 Mar 2026 07:00:59 +0000");
        assert!(mail.contains("\n\nfull\n\n-- \nreport disk on box\n"), "{mail}");
    }

    #[test]
    fn text_beyond_ascii_is_encoded() {
        for (bytes, expect) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("\u{fc}ber", "w7xiZXI=")] {
            assert_eq!(base64(bytes.as_bytes()), expect);
        }
        assert_eq!(header("über"), "=?UTF-8?B?w7xiZXI=?=");
        assert!(header(&"é".repeat(60)).lines().all(|line| line.len() <= 76));
    }

    #[test]
    fn the_log_and_the_web_get_one_line() {
        assert_eq!(line(&letter("a\nb"), 7, WHEN), "<28>Mar  1 07:00:59 watchd[7]: report disk: a b");
        let over = Letter { is_over: true, ..letter("over: x") };
        assert!(line(&over, 7, WHEN).starts_with("<29>"));
        let text = json((&letter("a\"\n}é"), ""), "box", WHEN);
        let object: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!((object["text"].as_str(), object["at"].as_str()), (Some("a\"\n}é"), Some("2026-03-01T07:00:59Z")));
        assert!(text.ends_with('\n') && text.trim_end().lines().count() == 1);
    }
}
