from .glacier import GlacierDataModule as GlacierDataModule
