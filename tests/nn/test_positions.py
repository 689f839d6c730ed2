from __future__ import annotations

import pytest
import torch

from tuwen.nn.positions import grid_side, resize_grid


def test_the_class_row_is_kept_and_the_corners_stay_where_they_are() -> None:
    table = torch.randn(1 + 9, 4)
    resized = resize_grid(table, 5, align_corners=True)
    assert resized.shape == (26, 4)
    corners = {0: 0, 2: 4, 6: 20, 8: 24}  # align_corners: a corner of the old grid is a corner of the new one
    assert torch.equal(resized[0], table[0])
    for old, new in corners.items():
        torch.testing.assert_close(resized[1 + new], table[1 + old], atol=1e-5, rtol=1e-5)


def test_a_table_of_the_right_size_is_the_same_table() -> None:
    table = torch.randn(17, 4)
    assert resize_grid(table, 4, align_corners=True) is table
    assert resize_grid(table, (4, 4), align_corners=False) is table


def test_rows_and_columns_are_not_mixed_up() -> None:
    rows = torch.arange(4.0).repeat_interleave(4)[:, None]  # the number of the row at every place
    resized = resize_grid(torch.cat([torch.zeros(1, 1), rows]), 7, align_corners=True)[1:].view(7, 7)
    torch.testing.assert_close(resized, resized[:, :1].expand(7, 7))
    assert (resized[1:] > resized[:-1]).all()


def test_an_oblong_grid_keeps_rows_and_columns_apart() -> None:
    columns = torch.arange(4.0).repeat(4)[:, None]  # the number of the column at every place
    resized = resize_grid(torch.cat([torch.zeros(1, 1), columns]), (2, 6), align_corners=False)[1:].view(2, 6)
    torch.testing.assert_close(resized, resized[:1].expand(2, 6))
    assert (resized[:, 1:] > resized[:, :-1]).all()
    assert resized[0, 0] < 0.2  # patches are areas: the middle of the first lies outside the middle of the old first


def test_half_precision_stays_half() -> None:
    assert resize_grid(torch.randn(5, 4).half(), 3, align_corners=False).dtype == torch.float16


def test_a_table_that_is_no_square_grid_is_refused() -> None:
    assert grid_side(torch.zeros(50, 2)) == 7
    with pytest.raises(ValueError, match="12 rows is not one class token and a square grid"):
        grid_side(torch.zeros(12, 2))
