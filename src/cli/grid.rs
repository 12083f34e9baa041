//! Tables for a terminal of any width: what matters least is left out first, and the last column takes what is left.
//!
//! Colours come last and count for nothing in the widths.

use crate::model;

/// How a text looks where colours are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Bold,
    Dim,
    Good,
    Odd,
    Bad,
}

impl From<model::Tone> for Tone {
    fn from(tone: model::Tone) -> Self {
        match tone {
            model::Tone::Soft => Self::Dim,
            model::Tone::Good => Self::Good,
            model::Tone::Warn => Self::Odd,
            model::Tone::Bad => Self::Bad,
        }
    }
}

/// Whether colours are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    Colours,
    None,
}

impl Paint {
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Bold => "1",
            Tone::Dim => "2",
            Tone::Good => "32",
            Tone::Odd => "33",
            Tone::Bad => "1;31",
        };
        match self {
            Self::Colours if !text.is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

/// Which side of its column a text keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

/// One column: its head, its side, and its rank; of the columns that do not fit, those of the highest rank go first, rank 0 never.
pub struct Column(pub &'static str, pub Side, pub u8);

/// One cell.
pub struct Cell(pub Tone, pub String);

impl Cell {
    pub fn plain(text: impl Into<String>) -> Self {
        Self(Tone::Plain, text.into())
    }
}

const GAP: usize = 2;
/// What a name keeps in any case.
const NAME_MIN: usize = 14;
/// What the last column must have, or it goes to a line of its own.
const LAST_MIN: usize = 20;

/// Draws a table. Every row has as many cells as there are columns; the last column is text of any length.
pub fn table(columns: &[Column], rows: &[Vec<Cell>], width: usize, paint: Paint) -> String {
    table_rows(columns, rows, width, paint).concat()
}

/// The same row by row, the head first; each is a line or two.
pub fn table_rows(columns: &[Column], rows: &[Vec<Cell>], width: usize, paint: Paint) -> Vec<String> {
    let last = columns.len().saturating_sub(1);
    let widest = |place: usize| {
        let cells = rows.iter().filter_map(|row| row.get(place)).map(|Cell(_, text)| text.chars().count());
        cells.chain(columns.get(place).map(|Column(head, ..)| head.len())).max().unwrap_or(0)
    };
    let mut shown: Vec<(usize, usize)> = (0..last).map(|place| (place, widest(place))).collect();
    let used = |shown: &[(usize, usize)]| shown.iter().map(|(_, width)| width + GAP).sum::<usize>();
    let rank = |place: usize| columns.get(place).map_or(0, |Column(.., rank)| *rank);
    let wanted = widest(last).min(LAST_MIN);
    // A long name costs other columns, or the shape of the table, more than its end is worth.
    if used(&shown) + wanted > width
        && let Some((_, first)) = shown.first_mut()
    {
        *first = (*first).min((width / 4).max(NAME_MIN));
    }
    while used(&shown) + wanted > width {
        let Some(place) = (0..shown.len())
            .filter(|at| shown.get(*at).is_some_and(|(place, _)| rank(*place) > 0))
            .max_by_key(|at| shown.get(*at).map(|(place, _)| rank(*place)))
        else {
            break;
        };
        shown.remove(place);
    }
    let left = width.saturating_sub(used(&shown));
    let mut drawn = Vec::new();
    let head: Vec<Cell> = columns.iter().map(|Column(head, ..)| Cell(Tone::Dim, (*head).to_owned())).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (place, width) in &shown {
            let (Some(Cell(tone, text)), Some(Column(_, side, _))) = (row.get(*place), columns.get(*place)) else {
                continue;
            };
            let text = cut(text, *width);
            let blank = " ".repeat(width.saturating_sub(text.chars().count()));
            let text = paint.paint(*tone, &text);
            line.push_str(&match side {
                Side::Left => format!("{text}{blank}"),
                Side::Right => format!("{blank}{text}"),
            });
            line.push_str(&" ".repeat(GAP));
        }
        let Some(Cell(tone, text)) = row.get(last) else { continue };
        if left >= wanted {
            line.push_str(&paint.paint(*tone, &cut(text, left)));
            line.truncate(line.trim_end().len());
        } else {
            line.truncate(line.trim_end().len());
            if !std::ptr::eq(row, &raw const head) && !text.is_empty() {
                line.push_str(&format!("\n  {}", paint.paint(*tone, &cut(text, width.saturating_sub(2)))));
            }
        }
        line.push('\n');
        drawn.push(line);
    }
    drawn
}

/// A text that ends with `…` where it does not fit.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// How many columns a text takes, colours aside.
pub fn visible(text: &str) -> usize {
    let mut pieces = text.split('\x1b');
    let plain = pieces.next().map_or(0, |piece| piece.chars().count());
    plain + pieces.map(|piece| piece.split_once('m').map_or(0, |(_, rest)| rest.chars().count())).sum::<usize>()
}

/// A path that begins with `…` where it does not fit: its end tells it from others.
pub fn cut_path(path: &str, width: usize) -> String {
    let excess = path.chars().count().saturating_sub(width);
    if excess == 0 {
        return path.to_owned();
    }
    std::iter::once('…').chain(path.chars().skip(excess + 1)).collect()
}

/// Pieces side by side, as many as fit on a line; what follows the first line is indented.
pub fn flow(pieces: &[(Tone, String)], gap: &str, width: usize, paint: Paint) -> String {
    let mut page = String::new();
    let mut used = 0;
    for (tone, piece) in pieces {
        let piece = cut(piece, width.saturating_sub(2));
        let len = piece.chars().count();
        if used > 0 && used + gap.chars().count() + len > width {
            page.truncate(page.trim_end().len());
            page.push_str("\n  ");
            used = 2;
        } else if used > 0 {
            page.push_str(gap);
            used += gap.chars().count();
        }
        page.push_str(&paint.paint(*tone, &piece));
        used += len;
    }
    page.push('\n');
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column("NAME", Side::Left, 0),
        Column("CPU", Side::Right, 2),
        Column("PID", Side::Right, 1),
        Column("WHY", Side::Left, 0),
    ];

    fn rows() -> Vec<Vec<Cell>> {
        let row = |cells: [&str; 4]| cells.map(Cell::plain).into_iter().collect();
        vec![row(["web", "0.3", "1234", ""]), row(["database", "10", "7", "exit status 1 after 3.2 s"])]
    }

    #[test]
    fn what_matters_least_goes_first() {
        assert_eq!(
            table(COLUMNS, &rows(), 60, Paint::None),
            "NAME      CPU   PID  WHY\nweb       0.3  1234\ndatabase   10     7  exit status 1 after 3.2 s\n"
        );
        assert_eq!(
            table(COLUMNS, &rows(), 37, Paint::None),
            "NAME       PID  WHY\nweb       1234\ndatabase     7  exit status 1 after …\n"
        );
        assert_eq!(table(COLUMNS, &rows(), 20, Paint::None), "NAME\nweb\ndatabase\n  exit status 1 aft…\n");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let rows = vec![vec![Cell(Tone::Good, "a".into()), Cell(Tone::Bad, "b".into())]];
        let columns = [Column("N", Side::Left, 0), Column("W", Side::Left, 0)];
        assert!(table(&columns, &rows, 40, Paint::Colours).ends_with("\x1b[32ma\x1b[0m  \x1b[1;31mb\x1b[0m\n"));
    }

    #[test]
    fn pieces_wrap() {
        let pieces = ["load 0.20", "cpu 3 %", "memory 20 %"].map(|piece| (Tone::Plain, piece.to_owned()));
        assert_eq!(flow(&pieces, "   ", 22, Paint::None), "load 0.20   cpu 3 %\n  memory 20 %\n");
        assert_eq!(flow(&pieces, "   ", 80, Paint::None), "load 0.20   cpu 3 %   memory 20 %\n");
        assert_eq!(cut("abc", 2), "a…");
        assert_eq!(visible("\x1b[2mNAME\x1b[0m  \x1b[1;31mü\x1b[0m"), 7);
        assert_eq!([3, 2, 1, 0].map(|width| cut_path("a/b", width)), ["a/b", "…b", "…", "…"]);
    }
}
