from .glavitu import GlaViTUTask as GlaViTUTask
from .import_keras import import_keras as import_keras
