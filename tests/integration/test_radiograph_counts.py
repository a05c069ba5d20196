"""Counts of radiographs by body part, device and sender, of the current analyses."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Engine

from db.radiograph_counts import NotAnalysedShare, RadiographCounts
from db.records import NewFinding
from tests.unit.db.ledger_factories import Bench, instance_uid, make_conclusion, study_uid

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")
