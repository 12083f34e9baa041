//! Answers made smaller for those who ask: gzip (RFC 1952) around one deflate block with the fixed code (RFC 1951).
//!
//! Repetitions are found through a table of where four bytes were seen last: 16 KiB of stack and one pass, whatever the length. A real
//! compressor makes texts like ours a quarter smaller still, and wants 300 KiB for it. What is stored in the program was packed well
//! when it was put there.

use super::Page;

/// Shorter texts are not worth it.
pub const WORTH: usize = 800;

/// Places that are remembered; a power of two.
const PLACES: usize = 1 << 12;

/// How far back, and how many bytes, one repetition may reach.
const FAR: usize = 32 << 10;
const LONG: usize = 258;
const SHORT: usize = 4;

/// Base and extra bits of the codes 257 and on.
const LENGTHS: [(u16, u8); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];
const DISTANCES: [(u16, u8); 30] = [
    (1, 0),
    (2, 0),
    (3, 0),
    (4, 0),
    (5, 1),
    (7, 1),
    (9, 2),
    (13, 2),
    (17, 3),
    (25, 3),
    (33, 4),
    (49, 4),
    (65, 5),
    (97, 5),
    (129, 6),
    (193, 6),
    (257, 7),
    (385, 7),
    (513, 8),
    (769, 8),
    (1025, 9),
    (1537, 9),
    (2049, 10),
    (3073, 10),
    (4097, 11),
    (6145, 11),
    (8193, 12),
    (12_289, 12),
    (16_385, 13),
    (24_577, 13),
];

/// Appends the text as one gzip member.
pub fn pack(text: &[u8], page: &mut Page) {
    page.push(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
    let mut bits = Bits { page, held: 0, count: 0 };
    // The last block, with the fixed code.
    bits.put(0b011, 3);
    squeeze(text, &mut bits);
    bits.literal(256);
    bits.finish();
    page.push(&crc32fast::hash(text).to_le_bytes());
    page.push(&u32::try_from(text.len() & 0xffff_ffff).unwrap_or(0).to_le_bytes());
}

fn squeeze(text: &[u8], bits: &mut Bits<'_>) {
    let mut seen = [0_u32; PLACES];
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let found = text.get(at..at + SHORT).and_then(|head| {
            let slot = seen.get_mut(place(head))?;
            let before = usize::try_from(std::mem::replace(slot, u32::try_from(at + 1).ok()?)).ok()?;
            let back = at.checked_sub(before.checked_sub(1)?)?;
            let len = alike(text, at, back);
            (back <= FAR && len >= SHORT).then_some((len, back))
        });
        match found {
            Some((len, back)) => {
                bits.repeat(len, back);
                at += len;
            }
            None => {
                bits.literal(byte.into());
                at += 1;
            }
        }
    }
}

/// Where four bytes are remembered.
fn place(head: &[u8]) -> usize {
    let word = head.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
    usize::try_from(word.wrapping_mul(0x9e37_79b1) >> 20).unwrap_or(0) % PLACES
}

/// How many bytes at a place are the same as those so far back.
fn alike(text: &[u8], at: usize, back: usize) -> usize {
    let (here, there) = (text.get(at..).unwrap_or_default(), text.get(at - back..).unwrap_or_default());
    here.iter().zip(there).take(LONG).take_while(|(one, other)| one == other).count()
}

/// Bits on their way into bytes, the lowest first.
struct Bits<'a> {
    page: &'a mut Page,
    held: u64,
    count: u32,
}

impl Bits<'_> {
    fn put(&mut self, value: u32, width: u32) {
        self.held |= u64::from(value) << self.count;
        self.count += width;
        if self.count >= 32 {
            self.page.push(&u32::try_from(self.held & 0xffff_ffff).unwrap_or(0).to_le_bytes());
            self.held >>= 32;
            self.count -= 32;
        }
    }

    /// A code, whose highest bit comes first.
    fn code(&mut self, value: u32, width: u32) {
        self.put(value.reverse_bits() >> (32 - width), width);
    }

    /// A byte, the end (256), or the length of a repetition.
    fn literal(&mut self, symbol: u32) {
        match symbol {
            0..=143 => self.code(0x30 + symbol, 8),
            144..=255 => self.code(0x190 + symbol - 144, 9),
            256..=279 => self.code(symbol - 256, 7),
            _ => self.code(0xc0 + symbol - 280, 8),
        }
    }

    fn repeat(&mut self, len: usize, back: usize) {
        let (symbol, rest, width) = coded(len, &LENGTHS);
        self.literal(257 + symbol);
        self.put(rest, width);
        let (symbol, rest, width) = coded(back, &DISTANCES);
        self.code(symbol, 5);
        self.put(rest, width);
    }

    fn finish(&mut self) {
        let bytes = self.held.to_le_bytes();
        let count = usize::try_from(self.count.div_ceil(8)).unwrap_or(0);
        self.page.push(bytes.get(..count).unwrap_or_default());
    }
}

/// The symbol of a number, what has to be added to its base, and in how many bits.
fn coded(number: usize, codes: &[(u16, u8)]) -> (u32, u32, u32) {
    let symbol = codes.partition_point(|(base, _)| usize::from(*base) <= number).saturating_sub(1);
    let (base, width) = codes.get(symbol).copied().unwrap_or_default();
    let rest = number.saturating_sub(base.into());
    (u32::try_from(symbol).unwrap_or(0), u32::try_from(rest).unwrap_or(0), width.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut page = Page::new(Page::LIMIT);
        pack(text, &mut page);
        page.bytes().to_vec()
    }

    /// What another's program makes of it.
    fn unpacked(bytes: &[u8]) -> Vec<u8> {
        let (head, rest) = bytes.split_at(10);
        assert_eq!(head, [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
        let (deflated, tail) = rest.split_at(rest.len() - 8);
        let text = miniz_oxide::inflate::decompress_to_vec(deflated).expect("it is deflate");
        assert_eq!(tail[..4], crc32fast::hash(&text).to_le_bytes());
        assert_eq!(tail[4..], u32::try_from(text.len()).expect("it is short").to_le_bytes());
        text
    }

    #[test]
    fn what_is_packed_comes_back_whatever_it_is() {
        let mut noise = 1_u32;
        let mut random = |len: usize, letters: u32| -> Vec<u8> {
            let mut next = || {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                u8::try_from((noise >> 16) % letters).expect("it is small")
            };
            (0..len).map(|_| next()).collect()
        };
        let mut texts: Vec<Vec<u8>> = vec![
            Vec::new(),
            vec![0],
            vec![255; 3],
            vec![7; 100_000],
            (0..=255).cycle().take(70_000).collect(),
            [vec![1; 259], random(FAR - 2, 256), vec![1; 259]].concat(),
            [&b"abcd"[..], &random(FAR - 4, 256), b"abcd"].concat(),
            [&b"abcd"[..], &random(FAR - 3, 256), b"abcd"].concat(),
        ];
        for len in [1, 2, 3, 4, 5, 258, 259, 1000, 40_000] {
            texts.push(random(len, 2));
            texts.push(random(len, 256));
        }
        for text in texts {
            assert!(unpacked(&packed(&text)) == text, "{} bytes", text.len());
        }
    }

    #[test]
    fn a_document_becomes_a_fifth_of_itself() {
        let mut text = String::from("[");
        for number in 0..200 {
            text += &format!("{{\"number\":{number},\"kind\":\"service-ready\",\"subject\":\"web{}\"}},", number % 7);
        }
        let len = packed(text.as_bytes()).len();
        assert!(len * 5 < text.len(), "{len} of {}", text.len());
    }

    #[test]
    fn a_page_without_room_is_marked() {
        let mut page = Page::new(20);
        pack(&[b"0123456789".as_slice(); 9].concat(), &mut page);
        assert!(page.is_overflown() && page.len() <= 20);
    }
}
