"""Statistics of the reports: what they say of known data, and that one wild value does not spoil them."""

from __future__ import annotations

import math
import random

import pytest

from services.reports.anomalies import THRESHOLD, backtest, deviation, judge, off_by, spread, thinned, trend
from services.reports.model import translate
from services.reports.monthly import FURTHEST, forecast, soonest
from services.reports.queries import Capacity
from services.reports.uptime import uptime

DAY, HOUR = 86400.0, 3600.0
DISK = Capacity(name="kafka-disk", expr="x", unit="1", limit=0.75)


def straight(days: int, level: float = 0.1, per_day: float = 0.01, noise: float = 0.0) -> list[tuple[float, float]]:
    chance = random.Random(7)
    return [(hour * HOUR, level + per_day * hour / 24 + chance.gauss(0, noise)) for hour in range(days * 24 + 1)]


def test_the_spread_of_a_normal_sample_is_its_standard_deviation() -> None:
    chance = random.Random(1)
    assert spread([chance.gauss(10, 2) for _ in range(5000)]) == pytest.approx(2, rel=0.05)


def test_one_wild_value_changes_neither_the_middle_nor_the_deviation() -> None:
    calm = [10.0, 11.0, 9.0, 10.0, 12.0, 8.0, 10.0]
    assert deviation(20.0, [*calm[:-1], 10_000.0]) == pytest.approx(deviation(20.0, calm), rel=0.5)
    assert deviation(20.0, calm) > THRESHOLD
    assert deviation(0.0, calm) < -THRESHOLD


def test_what_never_moved_may_move_by_its_own_noise_but_nothing_may_leave_zero_unseen() -> None:
    assert abs(deviation(101.0, [100.0] * 7)) < 1
    assert abs(deviation(150.0, [100.0] * 7)) > THRESHOLD
    assert deviation(0.0, [0.0] * 7) == 0
    assert math.isinf(deviation(3.0, [0.0] * 7))


def test_the_trend_of_a_line_is_that_line_and_a_fifth_of_wild_values_does_not_bend_it() -> None:
    points = straight(10)
    fitted = trend(points)
    assert fitted.slope * DAY == pytest.approx(0.01)
    assert fitted.at(20 * DAY) == pytest.approx(0.3)
    wild = [(at, 50.0) if index % 5 == 0 else (at, value) for index, (at, value) in enumerate(points)]
    assert trend(wild).slope * DAY == pytest.approx(0.01, rel=0.05)


def test_a_slope_lies_within_its_interval_and_a_noisy_one_has_a_wider_one() -> None:
    calm, noisy = trend(straight(10, noise=0.001)), trend(straight(10, noise=0.05))
    for fitted in (calm, noisy):
        assert fitted.slopes[0] <= fitted.slope <= fitted.slopes[1]
        assert fitted.slopes[0] <= 0.01 / DAY <= fitted.slopes[1]
    assert noisy.slopes[1] - noisy.slopes[0] > calm.slopes[1] - calm.slopes[0]


def test_many_points_are_thinned_to_means_of_neighbours() -> None:
    thinned_points = thinned([(float(number), 2.0 * number) for number in range(10_000)], 100)
    assert len(thinned_points) == 100
    assert thinned_points[0] == (pytest.approx(49.5), pytest.approx(99.0))
    assert thinned([(1.0, 2.0)], 100) == [(1.0, 2.0)]


def test_a_trend_needs_two_times() -> None:
    with pytest.raises(ValueError, match="two different times"):
        trend([(5.0, 1.0), (5.0, 2.0)])


def test_the_backtest_of_a_line_has_no_error_and_that_of_a_bend_has_one() -> None:
    exact = backtest(straight(10))
    assert exact is not None
    assert exact.error == pytest.approx(0, abs=1e-9)
    assert exact.inside == 1
    assert exact.horizon_s == pytest.approx(2 * DAY, rel=0.05)
    bent = [(at, value if at < 8 * DAY else value * 3) for at, value in straight(10)]
    result = backtest(bent)
    assert result is not None
    assert result.error is not None
    assert result.error > 0.5
    assert result.inside < 0.2


def test_about_nine_in_ten_held_out_values_of_a_noisy_line_lie_within_the_interval() -> None:
    result = backtest(straight(60, noise=0.02))
    assert result is not None
    assert 0.8 <= result.inside <= 1
    assert backtest(straight(1)[:9]) is None
    level = backtest([(float(number), 0.0) for number in range(20)])
    assert level is not None
    assert level.error is None


def test_a_growing_disk_is_full_on_the_day_that_the_line_says() -> None:
    outlook = forecast(DISK, straight(30, level=0.1, per_day=0.01))
    assert outlook.per_day == pytest.approx(0.01)
    assert outlook.full == pytest.approx(65 * DAY, rel=0.01)
    ahead = outlook.ahead(30)
    assert ahead is not None
    assert ahead[0] == pytest.approx(0.7, rel=0.01)
    assert ahead[1] <= ahead[0] <= ahead[2]


def test_a_forecast_never_reaches_further_than_ten_times_its_history() -> None:
    short = forecast(DISK, straight(2, per_day=0.001))
    assert short.history_s * FURTHEST < 30 * DAY
    assert short.ahead(30) is None
    assert short.full is None
    assert forecast(DISK, straight(4)).ahead(30) is not None
    assert forecast(DISK, straight(4)).ahead(90) is None
    assert forecast(DISK, straight(1)[:5]).trend is None
    assert forecast(DISK, []).now is None


def test_what_shrinks_or_is_over_its_limit_is_told_as_such() -> None:
    assert forecast(DISK, straight(30, level=0.6, per_day=-0.01)).full is None
    over = forecast(DISK, straight(30, level=0.8, per_day=0.001))
    assert over.full == over.points[-1][0]


def test_a_limit_that_is_reached_is_the_worst_case_whatever_the_trend_says() -> None:
    falling = forecast(DISK, [(at, value if at < 30 * DAY else 0.76) for at, value in straight(30, 0.6, -0.01)])
    assert falling.full is None
    few = forecast(DISK, straight(1, level=0.8)[:3])
    later = forecast(DISK, straight(30, level=0.1))
    for reached in (falling, few):
        assert reached.over
        assert not later.over
        # No runner is looked at where the limit is reached.
        assert soonest(None, [later, reached]) == translate("capacity.reached")  # type: ignore[arg-type]


def hours(day: int, value: float, spoiled: dict[int, float] | None = None) -> list[tuple[float, float]]:
    """Hours of a day, day 0 being the one that is judged; points stand at the end of their hour."""
    return [(day * DAY + (hour + 1) * HOUR, (spoiled or {}).get(hour, value + hour)) for hour in range(24)]


def test_hours_off_to_the_same_side_are_one_anomaly_with_its_worst_hour() -> None:
    past = [point for day in range(-7, 0) for point in hours(day, 100 + day % 3)]
    judged = judge([*past, *hours(0, 101, {9: 160.0, 10: 400.0, 11: 170.0, 20: 1.0})], 0.0)
    assert [(one.start / HOUR, one.end / HOUR, one.value) for one in judged.anomalies] == [
        (9, 12, 400.0),
        (20, 21, 1.0),
    ]
    assert judged.anomalies[0].usual == pytest.approx(111)
    assert judged.anomalies[1].deviation < -THRESHOLD
    assert (judged.judged, judged.hours) == (24, 24)


def test_a_usual_day_and_a_change_below_the_figures_own_noise_are_no_anomaly() -> None:
    past = [point for day in range(-7, 0) for point in hours(day, 100 + day % 3)]
    assert judge([*past, *hours(0, 101)], 0.0).anomalies == ()
    spoiled = hours(0, 101, {9: 160.0})
    assert judge([*past, *spoiled], 0.0).anomalies
    assert judge([*past, *spoiled], 0.0, least=60.0).anomalies == ()


def test_nothing_is_said_with_fewer_than_three_earlier_days() -> None:
    judged = judge([*hours(-2, 100), *hours(-1, 100), *hours(0, 999)], 0.0)
    assert (judged.anomalies, judged.judged, judged.hours) == ((), 0, 24)
    assert judge([*hours(-3, 100), *hours(-2, 100), *hours(-1, 100), *hours(0, 999)], 0.0).judged == 24


def test_days_older_than_a_week_do_not_count() -> None:
    old = [point for day in range(-20, -8) for point in hours(day, 5000)]
    past = [point for day in range(-7, 0) for point in hours(day, 100)]
    assert judge([*old, *past, *hours(0, 100)], 0.0).anomalies == ()
    assert judge([*old, *hours(0, 100)], 0.0).judged == 0


def test_an_endless_deviation_is_written_as_more_than_all_others() -> None:
    past = [point for day in range(-7, 0) for point in [(at, 0.0) for at, _ in hours(day, 0)]]
    judged = judge([*past, *[(at, 1.0 if at == HOUR else 0.0) for at, _ in hours(0, 0)]], 0.0)
    assert [off_by(one) for one in judged.anomalies] == ["> 99"]


def test_uptime_is_the_mean_of_what_is_known_and_outages_on_end_add_up() -> None:
    points = [(60.0 * (number + 1), 1.0) for number in range(100)]
    points[10] = (points[10][0], 0.5)
    points[11] = (points[11][0], 0.0)
    points[50] = (points[50][0], 0.25)
    availability = uptime(points, 60.0, 6000.0)
    assert availability.share == pytest.approx(1 - (0.5 + 1 + 0.75) / 100)
    assert availability.down_s == pytest.approx(135)
    assert availability.longest_s == pytest.approx(90)
    assert availability.known == 1


def test_time_of_which_nothing_is_known_is_neither_up_nor_down() -> None:
    points = [(60.0 * (number + 1), 1.0) for number in range(50)]
    availability = uptime(points, 60.0, 6000.0)
    assert (availability.share, availability.down_s, availability.known) == (1.0, 0.0, 0.5)
    assert uptime([], 60.0, 6000.0).share is None
    apart = uptime([(60.0, 0.0), (6000.0, 0.0)], 60.0, 6000.0)
    assert apart.longest_s == 60
