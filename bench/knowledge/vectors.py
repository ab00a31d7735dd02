"""The part of `./run bench knowledge` about vectors: what a filtered search finds, against looking at all, and how fast.

Several tenants share a table. Vectors are made with the standard library: clusters, as topics are, and noise around
their centres. The truth is computed in 64-bit floats, in Python.
"""

import random
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import mul
from statistics import median, quantiles
from uuid import UUID

import psycopg
from psycopg.types.multirange import Int4Multirange
from psycopg.types.range import Range

from ali.features.knowledge.embedding.shelving import Shelving
from ali.features.knowledge.embedding.store import EXACT_UP_TO, VectorStorage
from ali.features.knowledge.embedding.vector import Vector, packed, unpacked
from ali.kernel.db import Pool, make_pool
from ali.kernel.ids import uuid7
