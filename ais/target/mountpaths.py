"""Mountpaths as administrators see and change them: state, capacity, disks (wire contract §12.3-12.5)."""

import asyncio
import os
import struct
from collections.abc import Awaitable, Callable

from aiohttp import web

from ais.api import actions, query
from ais.api.capacity import DiskRates, DiskReport, FileSystem, MountpathCapacity, Mountpaths, TargetCapacity
from ais.api.codec import U64
from ais.api.messages import ActMsg
from ais.base.errors import AccessDenied, AisError, BadRequest, InvalidAction, NotYetImplemented
from ais.base.units import parse_bool
from ais.fs.mountpath import Mountpath
from ais.fs.record import State
from ais.fs.volume import Volume
from ais.space.health import Health
from ais.stats import names as metrics
from ais.stats.system import disks_of
from ais.target.host import Host
from ais.target.returns import Returns

PATH = "/v1/daemon/mountpaths"
_U64, _FSID = struct.Struct("<Q"), struct.Struct("<ii")
_LATER = {"rescan-mp": "rescan mountpaths"}
_CHECK = "fshc-mp"
OUT_OF_SPACE, LOW_CAPACITY, DISK_FAULT = 1 << 8, 1 << 11, 1 << 13
"""Bits of `NodeStateInfo.flags`."""


class MountpathAdmin:
    """The volume of this target, shown and changed."""

    def __init__(self, host: Host, volume: Volume, returns: Returns) -> None:
        self._host = host
        self._returns = returns
        self._volume = volume
        self.health = Health(volume, host.env, lambda: host.config.cluster.fshc, self._failed)
        self.on_gone: Callable[[str], Awaitable[None]] | None = None
        """Told of a mountpath that was taken out of use at once, with what it has."""
        self._disks: dict[str, list[str]] = {}
        self._faulty: set[str] = set()
        """Mountpaths that were disabled because they failed."""
        self._system_ids: dict[str, str] = {}

    def routes(self) -> list[web.RouteDef]:
        """Endpoints of the control network."""
        return [web.put(PATH, self._handle), web.post(PATH, self._handle), web.delete(PATH, self._handle)]

    def listing(self) -> Mountpaths:
        """Which mountpaths are used and which are not."""
        view = self._volume.view
        return Mountpaths([one.path for one in view.placed], list(self._volume.disabled), sorted(view.leaving))

    def capacity(self) -> TargetCapacity:
        """Space of the available mountpaths; of those that are not there, why."""
        parts, problems = {}, []
        for mountpath in self._volume.available:
            try:
                parts[mountpath.path] = self._capacity_of(mountpath)
            except AisError as error:
                problems.append(str(error))
        return _total(parts, "; ".join(problems))

    def state_flags(self) -> int:
        """Whether a mountpath takes no more writes, is nearly full, or is gone, or was disabled because it failed."""
        limits, found = self._host.config.cluster.space, 0
        for mountpath in self._volume.available:
            try:
                used_pct = mountpath.capacity().used_pct
            except AisError:
                found |= DISK_FAULT
                continue
            if used_pct >= self._volume.limits.out_of_space_pct:
                found |= OUT_OF_SPACE
            elif used_pct >= limits.highwm:
                found |= LOW_CAPACITY
        return found | (DISK_FAULT if self._faulty.intersection(self._volume.disabled) else 0)

    def disk_report(self) -> DiskReport:
        """Space of mountpaths and the load of the disks below them."""
        total = self.capacity()
        loads = {name: DiskRates(*load) for name, load in self._host.stats.disks.items()}
        return DiskReport(
            total.mountpaths,
            total.error,
            total.total_used,
            total.total_avail,
            total.pct_max,
            total.pct_avg,
            total.pct_min,
            loads,
        )

    @property
    def disks(self) -> set[str]:
        """Names of the disks below the available mountpaths."""
        return {name for mountpath in self._volume.available for name in self._disks_below(mountpath.path)}

    async def _attach(self, path: str, label: str) -> bool:
        if not self._host.config.local.admits_mountpath(path):
            raise AccessDenied(f'"{path[:200]}" is not below mountpath_roots of the local configuration of this target')
        if self._volume.may_return(path):
            return await self._returns.bring_back(path, label)
        return await asyncio.to_thread(self._volume.attach, path, label)

    async def _enable(self, path: str) -> bool:
        if self._volume.may_return(path) and path in self._volume.disabled:
            return await self._returns.bring_back(path)
        return await asyncio.to_thread(self._volume.enable, path)

    async def _handle(self, request: web.Request) -> web.Response:
        message = ActMsg.parse(await request.read())
        if message.action in _LATER:
            raise NotYetImplemented(f"cannot {_LATER[message.action]} - not implemented yet")
        if request.method == "POST" and message.action == _CHECK:
            return await self._check(message.value)
        label = request.query.get(query.MOUNTPATH_LABEL, "")
        is_drained = not parse_bool(request.query.get(query.DONT_RESILVER, "")) and self._drains
        changes: dict[tuple[str, str], Callable[[str], Awaitable[bool]]] = {
            ("PUT", actions.ATTACH_MOUNTPATH): lambda path: self._attach(path, label),
            ("DELETE", actions.DETACH_MOUNTPATH): lambda path: self._leave(path, State.DETACHED, is_drained),
            ("POST", actions.ENABLE_MOUNTPATH): self._enable,
            ("POST", actions.DISABLE_MOUNTPATH): lambda path: self._leave(path, State.DISABLED, is_drained),
        }
        change = changes.get((request.method, message.action))
        if change is None:
            raise InvalidAction(message.action, tuple(action for method, action in changes if method == request.method))
        path = _path_of(message.value)
        changed = await change(path)
        if changed:
            await self._follow()
            if self.on_gone is not None and path not in self._paths:
                await self.on_gone(path)
        return web.Response(status=200 if changed else 204)

    async def _leave(self, path: str, state: State, is_drained: bool) -> bool:
        """Take a mountpath out of use: when everything has left it, or at once with what it has."""
        volume = self._volume
        leave = volume.detach if state is State.DETACHED else volume.disable
        takes_along = path in {hidden for _, hidden in volume.view.hidden} or (path in self._paths and not is_drained)
        if state is State.DETACHED and takes_along:
            async with self._returns.giving_up():
                return await asyncio.to_thread(leave, path)
        return (
            await asyncio.to_thread(volume.drain, path, state) if is_drained else await asyncio.to_thread(leave, path)
        )

    @property
    def _paths(self) -> set[str]:
        return {mountpath.path for mountpath in self._volume.available}

    @property
    def _drains(self) -> bool:
        return self._host.config.cluster.resilver.enabled

    async def _check(self, value: object) -> web.Response:
        """Check a mountpath now; one that has failed often enough is disabled."""
        await self.health.check(self._volume.find(_path_of(value)))
        return web.Response()

    async def _follow(self) -> None:
        await self._host.set_directories(tuple(mountpath.path for mountpath in self._volume.available))

    async def _failed(self, path: str) -> None:
        self._faulty.add(path)
        self._host.stats.inc(metrics.ERR_FSHC_N)
        await self._follow()

    def _capacity_of(self, mountpath: Mountpath) -> MountpathCapacity:
        space, system = mountpath.capacity(), mountpath.file_system
        return MountpathCapacity(
            mountpath.label,
            FileSystem(system.device, system.kind, self._system_id(mountpath.path)),
            self._disks_below(mountpath.path),
            U64(space.used_bytes),
            U64(space.avail_bytes),
            round(space.used_pct),
        )

    def _system_id(self, path: str) -> str:
        """The kernel's number of the file system, as the two signed halves that the wire shows."""
        if path not in self._system_ids:
            number = self._host.env.disk.statvfs(path).f_fsid & (1 << 64) - 1
            self._system_ids[path] = "{},{}".format(*_FSID.unpack(_U64.pack(number)))
        return self._system_ids[path]

    def _disks_below(self, path: str) -> list[str]:
        if path not in self._disks:
            self._disks[path] = disks_of(path)
        return self._disks[path]


def _path_of(value: object) -> str:
    if not isinstance(value, str) or not os.path.isabs(value):
        raise BadRequest("the value of a mountpath action is the absolute path of the mountpath")
    return os.path.normpath(value)


def _total(parts: dict[str, MountpathCapacity], problem: str) -> TargetCapacity:
    """Sums and percentages over mountpaths; those on one file system count once."""
    distinct = {part.fs.fs or path: part for path, part in parts.items()}.values()
    percents = [part.pct_used for part in parts.values()]
    return TargetCapacity(
        parts,
        problem or ("" if parts else "no mountpaths"),
        U64(sum(part.used for part in distinct)),
        U64(sum(part.avail for part in distinct)),
        max(percents, default=0),
        sum(percents) // len(percents) if percents else 0,
        min(percents, default=0),
    )
