// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Payout} from "./libraries/Payout.sol";
import {Jobs} from "./Jobs.sol";

/// @title Payments: how money leaves a job, and what a paid lane leaves behind
abstract contract Payments is Jobs {
    /// @dev What is still to be given away.
    struct Pot {
        bytes32 job;
        uint256 left; // all money of the job that is not paid yet; the next three are parts of it
        uint256 slashed; // pays appellants once over and later rounds' fees; the rest is burned
        uint256 withheld; // round 1's fees; pays later rounds after the slashes; the rest is the requester's
        uint256 bond; // of the requester
    }

    /// @dev What an artifact is made of (P7.1).
    struct Made {
        address maker;
        bytes32 word;
        uint32 score;
        bool isMeasured; // by a committee; else the parties agreed, or nobody could measure
    }

    function _pay(Pot memory pot, address to, Purpose purpose, uint256 amount) internal {
        if (amount == 0) return;
        pot.left -= amount;
        _credit(to, amount);
        emit Paid(pot.job, to, purpose, amount);
    }

    function _burn(Pot memory pot, uint256 amount) internal {
        if (amount == 0) return;
        pot.left -= amount;
        _burned += amount;
        emit Paid(pot.job, address(0), Purpose.Burned, amount);
    }

    function _payWithRoyalties(Pot memory pot, JobTerms calldata terms, address provider, uint256 payout) internal {
        uint256 net = payout;
        for (uint256 i; i < terms.parents.length; ++i) {
            uint256 royalty = Payout.royaltyDown(payout, terms.parents[i].bps);
            net -= royalty;
            _pay(pot, terms.parents[i].payee, Purpose.Royalty, royalty);
        }
        _pay(pot, provider, Purpose.Payout, net);
    }

    /// @dev What is left of a lane when nobody owes anybody for it any more (P7.2). See Lane.
    function _closeLane(Lane storage stored, uint32 score, bool isPaid) internal {
        stored.price = uint96(score) | uint96(isPaid ? 1 << 32 : 0);
    }

    function _emitArtifact(bytes32 id, JobTerms calldata terms, uint8 lane, Made memory made) internal {
        emit Artifact({
            artifact: keccak256(abi.encode(id, lane)),
            job: id,
            maker: made.maker,
            owner: terms.requester,
            lane: lane,
            word: made.word,
            taskHash: terms.taskHash,
            dataRoot: terms.dataRoot,
            score: made.score,
            measured: made.isMeasured
        });
    }
}
