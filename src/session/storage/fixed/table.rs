//! Lists of fixed size. What `heapless` offers to remove an element links memmove and a panic.

use heapless::vec::VecView;

pub(super) type Table<T> = VecView<T, u16>;

/// Removes the element at `index`, which is in the list, and moves up those behind it.
pub(super) fn remove<T>(table: &mut Table<T>, index: usize) -> Option<T> {
    let mut carried = table.pop()?;
    for place in table.iter_mut().skip(index).rev() {
        carried = core::mem::replace(place, carried);
    }
    Some(carried)
}

/// Removes the first element that is wanted.
pub(super) fn take<T>(table: &mut Table<T>, wanted: impl FnMut(&T) -> bool) -> Option<T> {
    let index = table.iter().position(wanted)?;
    remove(table, index)
}
