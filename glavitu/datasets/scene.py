from glavitu.mapping.scene import Scene as _S, _intersection as intersection
class Scene(_S):
    @property
    def tags(self): return {}
