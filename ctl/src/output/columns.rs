//! Text in columns, as Go's tabwriter has it for kubectl: a column is as wide as its widest cell and three spaces, and at
//! least six characters. The last cell of a line is not filled up.

/// The least width of a column, and the space behind its widest cell.
const LEAST: usize = 6;
const SPACE: usize = 3;

/// Lines with their cells in columns. Widths that were needed once are kept, so that what a watch adds stays in line.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    widths: Vec<usize>,
}

impl Columns {
    /// These lines, each with a line break.
    pub(super) fn lines(&mut self, lines: &[Vec<String>]) -> String {
        for line in lines {
            for (index, cell) in line.iter().enumerate().take(line.len().saturating_sub(1)) {
                let width = (cell.chars().count() + SPACE).max(LEAST);
                match self.widths.get_mut(index) {
                    Some(known) => *known = width.max(*known),
                    None => self.widths.push(width),
                }
            }
        }
        let mut text = String::new();
        for line in lines {
            for (index, cell) in line.iter().enumerate() {
                text.push_str(cell);
                if index + 1 < line.len() {
                    let fill = self.widths[index].saturating_sub(cell.chars().count());
                    text.extend(std::iter::repeat_n(' ', fill));
                }
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let line = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let mut columns = Columns::default();
        let text = columns.lines(&[line("NAME READY AGE"), line("a-long-name 1/1 5s"), line("b 1/1 10m")]);
        assert_eq!(text, "NAME          READY   AGE\na-long-name   1/1     5s\nb             1/1     10m\n");
        assert_eq!(columns.lines(&[line("c 0/1 1s")]), "c             0/1     1s\n");
        assert_eq!(Columns::default().lines(&[line("a b")]), "a     b\n");
    }
}
