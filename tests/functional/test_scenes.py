"""A scene that was played before is put back as it was, whatever happened since."""

from sync.models import UsageReport
from tests.world import HOUR, START


def told(world, who):
    return world.now, world.billed(who), world.sent(), list(UsageReport.objects.order_by("pk").values_list())


def report_an_hour(world):
    who = world.subscriber(world.meter())
    world.use("ada", 5, START + HOUR / 2)
    world.later(hours=1, minutes=3)
    world.report()
    return who


def test_a_scene_is_put_back_as_it_was(world, stage):
    who = stage.play("test of scenes", lambda: report_an_hour(world))
    before = told(world, who)
    for _ in range(2):
        world.use("ada", 7, START + HOUR / 2)
        world.later(hours=1)
        world.report()
        assert world.billed(who) == 12
        assert stage.play("test of scenes", None) == who
        assert told(world, who) == before
